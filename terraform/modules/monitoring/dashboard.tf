locals {
  # title -> what is drawn; y says the unit.
  charts = [
    { title = "Requests a second", y = "1/s", metric = "run.googleapis.com/request_count", where = local.service, align = "ALIGN_RATE", reduce = "REDUCE_SUM", by = ["resource.label.service_name"] },
    { title = "Failed requests a second", y = "1/s", metric = "run.googleapis.com/request_count", where = "${local.service} AND metric.labels.response_code_class=\"5xx\"", align = "ALIGN_RATE", reduce = "REDUCE_SUM", by = ["resource.label.service_name", "resource.label.revision_name"] },
    { title = "Time to the first words, 95th percentile, by way of search", y = "s", metric = local.own["lectern_first_token_seconds"], where = "resource.type=\"cloud_run_revision\"", align = "ALIGN_DELTA", reduce = "REDUCE_PERCENTILE_95", by = ["metric.label.search"] },
    { title = "Answers by kind", y = "1", metric = local.own["lectern_answers"], where = "resource.type=\"cloud_run_revision\"", align = "ALIGN_DELTA", reduce = "REDUCE_SUM", by = ["metric.label.kind", "metric.label.writing"] },
    { title = "Time to the last byte, 95th percentile", y = "ms", metric = "run.googleapis.com/request_latencies", where = local.service, align = "ALIGN_DELTA", reduce = "REDUCE_PERCENTILE_95", by = ["resource.label.service_name"] },
    { title = "Age of the newest recovery point", y = "s", metric = local.own["lectern_recovery_point_age_seconds"], where = "resource.type=\"cloud_run_revision\"", align = "ALIGN_DELTA", reduce = "REDUCE_PERCENTILE_99", by = [] },
    { title = "Age of the last successful drill", y = "s", metric = local.own["lectern_drill_age_seconds"], where = "resource.type=\"cloud_run_revision\"", align = "ALIGN_DELTA", reduce = "REDUCE_PERCENTILE_99", by = [] },
    { title = "Language models this month", y = "USD", metric = local.own["lectern_spend_usd_month"], where = "resource.type=\"cloud_run_revision\"", align = "ALIGN_DELTA", reduce = "REDUCE_PERCENTILE_99", by = [] },
    { title = "Instances", y = "1", metric = "run.googleapis.com/container/instance_count", where = local.service, align = "ALIGN_MAX", reduce = "REDUCE_SUM", by = ["resource.label.service_name"] },
    { title = "Memory in use, 99th percentile", y = "share", metric = "run.googleapis.com/container/memory/utilizations", where = local.service, align = "ALIGN_DELTA", reduce = "REDUCE_PERCENTILE_99", by = ["resource.label.service_name"] },
    { title = "Cold start, 95th percentile", y = "ms", metric = "run.googleapis.com/container/startup_latencies", where = local.service, align = "ALIGN_DELTA", reduce = "REDUCE_PERCENTILE_95", by = ["resource.label.service_name"] },
    { title = "Lines of errors", y = "1", metric = local.own["lectern_errors"], where = "resource.type=\"cloud_run_revision\"", align = "ALIGN_DELTA", reduce = "REDUCE_SUM", by = ["resource.label.service_name"] },
  ]
}

resource "google_monitoring_dashboard" "this" {
  dashboard_json = jsonencode({
    displayName = "Lectern ${var.environment}"
    mosaicLayout = {
      columns = 12
      tiles = [
        for place, chart in local.charts : {
          xPos   = place % 2 * 6
          yPos   = floor(place / 2) * 4
          width  = 6
          height = 4
          widget = {
            title = chart.title
            xyChart = {
              yAxis = { label = chart.y, scale = "LINEAR" }
              dataSets = [{
                plotType = "LINE"
                timeSeriesQuery = {
                  timeSeriesFilter = {
                    filter = "${chart.where} AND metric.type=\"${chart.metric}\""
                    aggregation = {
                      alignmentPeriod    = "300s"
                      perSeriesAligner   = chart.align
                      crossSeriesReducer = chart.reduce
                      groupByFields      = chart.by
                    }
                  }
                }
              }]
            }
          }
        }
      ]
    }
  })

  depends_on = [google_logging_metric.measure, google_logging_metric.count]
}
