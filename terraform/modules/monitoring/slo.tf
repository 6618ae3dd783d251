resource "google_monitoring_custom_service" "chat" {
  service_id   = "lectern-chat"
  display_name = "Lectern chat"
}

locals {
  chat = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"lectern-chat\""
}

resource "google_monitoring_slo" "answers" {
  service             = google_monitoring_custom_service.chat.service_id
  slo_id              = "answers"
  display_name        = "Requests are answered"
  goal                = 1 - var.thresholds.error_rate
  rolling_period_days = 28

  request_based_sli {
    good_total_ratio {
      total_service_filter = "${local.chat} AND metric.type=\"run.googleapis.com/request_count\""
      bad_service_filter   = "${local.chat} AND metric.type=\"run.googleapis.com/request_count\" AND metric.labels.response_code_class=\"5xx\""
    }
  }
}

resource "google_monitoring_slo" "first_words" {
  service             = google_monitoring_custom_service.chat.service_id
  slo_id              = "first-words"
  display_name        = "The first words come within ${var.thresholds.latency_p95} s"
  goal                = 0.95
  rolling_period_days = 28

  request_based_sli {
    distribution_cut {
      distribution_filter = "resource.type=\"cloud_run_revision\" AND metric.type=\"${local.own["lectern_first_token_seconds"]}\""
      range {
        max = var.thresholds.latency_p95
      }
    }
  }

  depends_on = [google_logging_metric.measure]
}

# Fast: 14.4 times the allowed rate for an hour is 2 % of a month's budget.
resource "google_monitoring_alert_policy" "burn" {
  display_name          = "Lectern ${var.environment}: the month's error budget burns"
  combiner              = "AND"
  severity              = "CRITICAL"
  notification_channels = local.channels

  dynamic "conditions" {
    for_each = { "an hour" = "3600s", "5 minutes" = "300s" }
    content {
      display_name = "14.4 times too fast for ${conditions.key}"
      condition_threshold {
        filter          = "select_slo_burn_rate(\"${google_monitoring_slo.answers.id}\", \"${conditions.value}\")"
        comparison      = "COMPARISON_GT"
        threshold_value = 14.4
        duration        = "0s"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "At this rate the budget of 28 days is gone in two. ${local.handbook}"
  }
}
