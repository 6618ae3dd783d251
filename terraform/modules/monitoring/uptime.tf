# /live touches nothing: asking it does not keep Neon awake.
resource "google_monitoring_uptime_check_config" "live" {
  for_each = var.uptime_hosts

  display_name     = "Lectern ${var.environment}: ${each.key}"
  timeout          = "10s"
  period           = "${var.spec.uptime_period_seconds}s"
  selected_regions = ["EUROPE", "USA_VIRGINIA", "ASIA_PACIFIC"]

  http_check {
    path         = "/live"
    port         = 443
    use_ssl      = true
    validate_ssl = true

    accepted_response_status_codes {
      status_class = "STATUS_CLASS_2XX"
    }

    dynamic "service_agent_authentication" {
      for_each = each.value.signed_in ? ["OIDC_TOKEN"] : []
      content {
        type = service_agent_authentication.value
      }
    }
  }

  monitored_resource {
    type   = "uptime_url"
    labels = { project_id = var.project, host = each.value.host }
  }
}
