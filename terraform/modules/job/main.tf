locals {
  hello = "us-docker.pkg.dev/cloudrun/container/hello"
  bare  = var.image == ""

  plain = {
    LECTERN_ENV = var.environment
    PYTHONPATH  = "/workspace"
  }
}

resource "google_cloud_run_v2_job" "this" {
  name                = var.name
  location            = var.region
  deletion_protection = var.protected

  # Only at first: every later version is a release's, from the same file.
  template {
    parallelism = var.spec.parallelism

    template {
      service_account = var.account
      timeout         = "${var.spec.timeout_seconds}s"
      max_retries     = var.spec.retries

      containers {
        image   = local.bare ? local.hello : var.image
        command = local.bare ? null : ["/cnb/lifecycle/launcher", "python", "-m", "shared.cli.main"]

        resources {
          limits = { cpu = tostring(var.spec.cpu), memory = var.spec.memory }
        }

        dynamic "env" {
          for_each = local.bare ? {} : local.plain
          content {
            name  = env.key
            value = env.value
          }
        }

        dynamic "env" {
          for_each = { for name in var.spec.secrets : name => var.secrets[name] if !local.bare }
          content {
            name = env.key
            value_source {
              secret_key_ref {
                secret  = env.value.secret
                version = env.value.version
              }
            }
          }
        }
      }

      dynamic "vpc_access" {
        for_each = contains(keys(var.subnetworks), var.region) ? [var.subnetworks[var.region]] : []
        content {
          egress = "ALL_TRAFFIC"
          network_interfaces {
            subnetwork = vpc_access.value
          }
        }
      }
    }
  }

  lifecycle {
    ignore_changes = [template, client, client_version]
  }
}

# The function starts its own job, with arguments and a number of tasks, and asks how it goes. No other job.
resource "google_cloud_run_v2_job_iam_member" "starts" {
  for_each = toset(["roles/run.jobsExecutorWithOverrides", "roles/run.viewer"])

  name     = google_cloud_run_v2_job.this.name
  location = var.region
  role     = each.key
  member   = "serviceAccount:${var.account}"
}

resource "google_cloud_run_v2_job_iam_member" "deployer" {
  name     = google_cloud_run_v2_job.this.name
  location = var.region
  role     = "roles/run.developer"
  member   = var.deployer
}
