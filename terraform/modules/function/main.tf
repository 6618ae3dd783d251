locals {
  # Google's public sample: a service can be made before there is an image, and before secrets have versions.
  hello = "us-docker.pkg.dev/cloudrun/container/hello"
  bare  = var.image == ""

  plain = {
    LECTERN_ENV     = var.environment
    FUNCTION_SOURCE = "functions/${var.module_name}.py"
    FUNCTION_TARGET = var.module_name
    PYTHONPATH      = "/workspace"
    THREADS         = tostring(var.spec.concurrency)
  }
}

# One account a function, with nothing but what stands below and in the root's access.tf.
resource "google_service_account" "this" {
  account_id   = var.name
  display_name = "Lectern's function ${var.module_name}"
}

resource "google_secret_manager_secret_iam_member" "reads" {
  for_each = toset(var.spec.secrets)

  secret_id = var.secrets[each.key].secret
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.this.member
}

resource "google_cloud_run_v2_service" "this" {
  for_each = toset(var.regions)

  name                = var.name
  location            = each.key
  ingress             = "INGRESS_TRAFFIC_ALL"
  deletion_protection = var.protected
  # Readers call chat without an account. Everywhere else Cloud Run asks for a token of an invoker.
  invoker_iam_disabled = var.spec.public
  custom_audiences     = var.audiences

  # Of the whole service, not of a revision: changing it makes no new revision.
  scaling {
    min_instance_count = var.spec.min_instances
    max_instance_count = var.spec.max_instances
  }

  # Only the first revision: every later one is a release's, from the same file.
  template {
    service_account                  = google_service_account.this.email
    timeout                          = "${var.spec.timeout_seconds}s"
    max_instance_request_concurrency = var.spec.concurrency
    session_affinity                 = var.spec.session_affinity

    containers {
      image = local.bare ? local.hello : var.image

      resources {
        limits            = { cpu = tostring(var.spec.cpu), memory = var.spec.memory }
        cpu_idle          = true
        startup_cpu_boost = var.spec.cpu_boost
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

      dynamic "startup_probe" {
        for_each = local.bare ? [] : [var.spec.startup]
        content {
          period_seconds    = startup_probe.value.period_seconds
          timeout_seconds   = startup_probe.value.timeout_seconds
          failure_threshold = startup_probe.value.failures
          http_get {
            path = startup_probe.value.path
          }
        }
      }

      dynamic "liveness_probe" {
        for_each = local.bare ? [] : [var.spec.liveness]
        content {
          period_seconds    = liveness_probe.value.period_seconds
          timeout_seconds   = liveness_probe.value.timeout_seconds
          failure_threshold = liveness_probe.value.failures
          http_get {
            path = liveness_probe.value.path
          }
        }
      }
    }

    dynamic "vpc_access" {
      for_each = contains(keys(var.subnetworks), each.key) ? [var.subnetworks[each.key]] : []
      content {
        egress = "ALL_TRAFFIC"
        network_interfaces {
          subnetwork = vpc_access.value
        }
      }
    }
  }

  lifecycle {
    # A release owns the revision and the traffic: without this, apply would take a release or a rollback back.
    ignore_changes = [template, traffic, build_config, client, client_version]
  }

  depends_on = [google_secret_manager_secret_iam_member.reads]
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = { for pair in setproduct(var.regions, keys(var.invokers)) : join("/", pair) => { region = pair[0], who = pair[1] } }

  name     = google_cloud_run_v2_service.this[each.value.region].name
  location = each.value.region
  role     = "roles/run.invoker"
  member   = var.invokers[each.value.who]
}

resource "google_cloud_run_v2_service_iam_member" "deployer" {
  for_each = toset(var.regions)

  name     = google_cloud_run_v2_service.this[each.key].name
  location = each.key
  role     = "roles/run.developer"
  member   = var.deployer
}

# A revision runs as this account; whoever deploys it must be allowed to say so.
resource "google_service_account_iam_member" "deployer" {
  service_account_id = google_service_account.this.name
  role               = "roles/iam.serviceAccountUser"
  member             = var.deployer
}
