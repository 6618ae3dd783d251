# Metrics made of log lines. The code writes one line for each figure (shared/telemetry/catalogue.py), whatever the log
# level; a test compares these tables, the alerts and the dashboard with that catalogue.
locals {
  hour = 3600

  # Alerts read a percentile of a distribution, which is interpolated between two bounds: growth of 5 % between them
  # keeps the error below 5 %.
  measures = {
    lectern_first_token_seconds        = { unit = "s", labels = ["kind", "search", "writing"], scale = 0.01, growth = 1.05, buckets = 170 }
    lectern_recovery_point_age_seconds = { unit = "s", labels = [], scale = 60, growth = 1.05, buckets = 195 }
    lectern_drill_age_seconds          = { unit = "s", labels = [], scale = 60, growth = 1.05, buckets = 195 }
    lectern_spend_usd_month            = { unit = "{USD}", labels = [], scale = 0.01, growth = 1.05, buckets = 195 }
  }

  # Lines that are counted. A distribution's number of values cannot be drawn, so answers are counted, too.
  counts = {
    lectern_answers           = { filter = "resource.type=\"cloud_run_revision\" AND jsonPayload.measure=\"lectern_first_token_seconds\"", labels = ["kind", "writing"] }
    lectern_errors            = { filter = "resource.type=\"cloud_run_revision\" AND severity>=ERROR AND labels.service:*", labels = [] }
    lectern_schedule_failures = { filter = "resource.type=\"cloud_scheduler_job\" AND severity>=ERROR", labels = [] }
  }

  # By the resources and not by their names alone: Monitoring refuses an alert on a metric that it does not know yet.
  own = {
    for key, metric in merge(google_logging_metric.measure, google_logging_metric.count) :
    key => "logging.googleapis.com/user/${metric.name}"
  }
}

resource "google_logging_metric" "measure" {
  for_each = local.measures

  name            = each.key
  filter          = "resource.type=\"cloud_run_revision\" AND jsonPayload.measure=\"${each.key}\""
  value_extractor = "EXTRACT(jsonPayload.value)"

  label_extractors = { for label in each.value.labels : label => "EXTRACT(jsonPayload.labels.${label})" }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = each.value.unit

    dynamic "labels" {
      for_each = each.value.labels
      content {
        key        = labels.value
        value_type = "STRING"
      }
    }
  }

  bucket_options {
    exponential_buckets {
      scale              = each.value.scale
      growth_factor      = each.value.growth
      num_finite_buckets = each.value.buckets
    }
  }
}

resource "google_logging_metric" "count" {
  for_each = local.counts

  name   = each.key
  filter = each.value.filter

  label_extractors = { for label in each.value.labels : label => "EXTRACT(jsonPayload.labels.${label})" }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    dynamic "labels" {
      for_each = each.value.labels
      content {
        key        = labels.value
        value_type = "STRING"
      }
    }
  }
}
