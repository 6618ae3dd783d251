resource "google_monitoring_notification_channel" "email" {
  for_each = toset(var.spec.emails)

  display_name = "Lectern ${var.environment}: ${each.key}"
  type         = "email"
  labels       = { email_address = each.key }
}

locals {
  channels = [for channel in google_monitoring_notification_channel.email : channel.id]
  service  = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=monitoring.regex.full_match(\"${join("|", var.services)}\")"
  requests = "${local.service} AND metric.type=\"run.googleapis.com/request_count\""
  handbook = "See docs/operating/alerts.md of the handbook."

  # Gauges: the largest value that was written in the window is compared with the limit.
  gauges = {
    recovery_point_age = {
      title    = "The newest recovery point is too old"
      metric   = "lectern_recovery_point_age_seconds"
      limit    = var.rpo_hours * local.hour
      severity = "CRITICAL"
      says     = "No recovery point was finished for ${var.rpo_hours} hours. Look at the last run of both backups: `lectern backups`."
    }
    drill_age = {
      title    = "The last successful drill is too old"
      metric   = "lectern_drill_age_seconds"
      limit    = var.drill_age_days * 24 * local.hour
      severity = "WARNING"
      says     = "No drill restored a recovery point for ${var.drill_age_days} days: whether the backups can be restored is unknown. Run `lectern drill`."
    }
    spend_warning = {
      title    = "Language models cost most of their monthly cap"
      metric   = "lectern_spend_usd_month"
      limit    = var.spend_usd_month * 0.8
      severity = "WARNING"
      says     = "80 % of the monthly cap is spent. At the cap, answers are quoted passages."
    }
    spend_cap = {
      title    = "Language models cost their monthly cap"
      metric   = "lectern_spend_usd_month"
      limit    = var.spend_usd_month
      severity = "CRITICAL"
      says     = "The monthly cap is spent: answers are quoted passages until the month ends or the cap is raised."
    }
  }

  error_rates = {
    warning  = { limit = var.thresholds.error_rate, severity = "WARNING" }
    critical = { limit = var.thresholds.error_rate_critical, severity = "CRITICAL" }
  }
}

# Share of failed requests, for each service.
resource "google_monitoring_alert_policy" "error_rate" {
  for_each = local.error_rates

  display_name          = "Lectern ${var.environment}: more than ${each.value.limit * 100} % of requests fail"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels

  conditions {
    display_name = "5xx by all requests, 10 minutes"
    condition_threshold {
      filter             = "${local.requests} AND metric.labels.response_code_class=\"5xx\""
      denominator_filter = local.requests
      comparison         = "COMPARISON_GT"
      threshold_value    = each.value.limit
      duration           = "300s"

      aggregations {
        alignment_period     = "600s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
        group_by_fields      = ["resource.label.service_name"]
      }
      denominator_aggregations {
        alignment_period     = "600s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
        group_by_fields      = ["resource.label.service_name"]
      }
      trigger {
        count = 1
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "Compare with the last release (`lectern release status`) and take it back if it fits: `lectern rollback`. ${local.handbook}"
  }
}

resource "google_monitoring_alert_policy" "slow" {
  display_name          = "Lectern ${var.environment}: readers wait more than ${var.thresholds.latency_p95} s for the first words"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels

  conditions {
    display_name = "95th percentile, 10 minutes"
    condition_threshold {
      filter          = "resource.type=\"cloud_run_revision\" AND metric.type=\"${local.own["lectern_first_token_seconds"]}\""
      comparison      = "COMPARISON_GT"
      threshold_value = var.thresholds.latency_p95
      duration        = "300s"

      aggregations {
        alignment_period     = "600s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_PERCENTILE_95"
      }
      trigger {
        count = 1
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "The label `search` says which rung serves the answers, `GET /health` which service is slow. ${local.handbook}"
  }
}

resource "google_monitoring_alert_policy" "gauge" {
  for_each = local.gauges

  display_name          = "Lectern ${var.environment}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels

  conditions {
    display_name = "Largest value of 7 hours"
    condition_threshold {
      filter          = "resource.type=\"cloud_run_revision\" AND metric.type=\"${local.own[each.value.metric]}\""
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.limit
      duration        = "0s"

      aggregations {
        # The health function is asked every six hours.
        alignment_period     = "25200s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_PERCENTILE_99"
      }
      trigger {
        count = 1
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "${each.value.says} ${local.handbook}"
  }
}

# Silence is no good news: without the lines, the alerts above see nothing.
resource "google_monitoring_alert_policy" "silence" {
  display_name          = "Lectern ${var.environment}: nobody says how old the backups are"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels

  conditions {
    display_name = "No line for 23 hours"
    condition_absent {
      filter   = "resource.type=\"cloud_run_revision\" AND metric.type=\"${local.own["lectern_recovery_point_age_seconds"]}\""
      duration = "82800s"

      aggregations {
        alignment_period     = "3600s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_COUNT"
      }
      trigger {
        count = 1
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "The schedule of `health` did not run or its function fails: `gcloud scheduler jobs describe lectern-health`. ${local.handbook}"
  }
}

resource "google_monitoring_alert_policy" "job_failed" {
  display_name          = "Lectern ${var.environment}: a job failed"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels

  conditions {
    display_name = "Executions that failed"
    condition_threshold {
      filter          = "resource.type=\"cloud_run_job\" AND metric.type=\"run.googleapis.com/job/completed_execution_count\" AND metric.labels.result=\"failed\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
        group_by_fields      = ["resource.label.job_name"]
      }
      trigger {
        count = 1
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "`gcloud run jobs executions list --job JOB` names the execution; its log says why. ${local.handbook}"
  }
}

# One for each schedule: they differ in how often and for how long a call is tried.
resource "google_monitoring_alert_policy" "schedule_failed" {
  for_each = var.schedules

  display_name          = "Lectern ${var.environment}: no try of the call by the schedule ${each.key} succeeded"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels

  conditions {
    display_name = "All ${each.value.tries} tries of one call"
    condition_threshold {
      filter          = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=\"${each.key}\" AND metric.type=\"${local.own["lectern_schedule_failures"]}\""
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.tries - 1
      duration        = "0s"

      aggregations {
        # Whole minutes in which all tries lie, also when each one waits to its deadline.
        alignment_period     = "${ceil(each.value.seconds / 60) * 60}s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }
      trigger {
        count = 1
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "All tries of one call failed. The log of the function ${each.key} says why. ${local.handbook}"
  }
}

resource "google_monitoring_alert_policy" "down" {
  for_each = var.uptime_hosts

  display_name          = "Lectern ${var.environment}: ${each.key} does not answer"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = local.channels

  conditions {
    display_name = "The uptime check fails from two places"
    condition_threshold {
      filter          = "resource.type=\"uptime_url\" AND metric.type=\"monitoring.googleapis.com/uptime_check/check_passed\" AND metric.labels.check_id=\"${google_monitoring_uptime_check_config.live[each.key].uptime_check_id}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 1
      duration        = "${var.spec.uptime_period_seconds}s"

      aggregations {
        alignment_period     = "1200s"
        per_series_aligner   = "ALIGN_NEXT_OLDER"
        cross_series_reducer = "REDUCE_COUNT_FALSE"
        group_by_fields      = ["resource.label.host"]
      }
      trigger {
        count = 1
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "`/live` touches no service: the container does not start or Cloud Run does not answer. ${local.handbook}"
  }
}
