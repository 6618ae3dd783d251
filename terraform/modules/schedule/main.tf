locals {
  longest_pause = 600
}

resource "google_cloud_scheduler_job" "this" {
  name             = var.name
  region           = var.region
  description      = "Calls ${var.spec.method} ${var.spec.path}."
  schedule         = var.spec.cron
  time_zone        = var.spec.time_zone
  attempt_deadline = "${var.spec.deadline_seconds}s"
  paused           = var.spec.paused

  retry_config {
    retry_count          = var.spec.retries
    min_backoff_duration = "30s"
    max_backoff_duration = "${local.longest_pause}s"
  }

  http_target {
    http_method = var.spec.method
    uri         = "${var.uri}${var.spec.path}"
    headers     = var.spec.method == "POST" ? { "Content-Type" = "application/json" } : {}
    body        = var.spec.method == "POST" ? base64encode("{}") : null

    oidc_token {
      service_account_email = var.account
      audience              = var.audience
    }
  }

  lifecycle {
    # A restore pauses the schedules while it runs; apply must not set them going in the middle of it.
    ignore_changes = [paused]
  }
}
