# What differs between environments: one file, which releases read too (shared/delivery/platform.py checks it).
locals {
  config   = yamldecode(file("${path.root}/${var.config_folder}/${var.environment}.yaml"))
  platform = local.config.platform

  project    = local.platform.project
  region     = local.platform.region
  production = var.environment == "production"

  # Keys are the modules of functions/; names in the cloud take no underscore.
  functions = local.platform.functions
  jobs      = local.platform.jobs
  schedules = local.platform.schedules
  # Which function a schedule calls: the one of its own name, unless it says another one.
  scheduled = { for key, schedule in local.schedules : key => coalesce(try(schedule.function, ""), key) }
  names     = { for key in distinct(concat(keys(local.functions), keys(local.jobs), keys(local.schedules))) : key => "lectern-${replace(key, "_", "-")}" }

  network = merge({ egress = "none", static_address = false, range = "10.8.0.0/26" }, try(local.platform.network, {}))
  edge    = merge({ enabled = false, second_region = "", domains = [], requests_per_minute = 120 }, try(local.platform.edge, {}))
  cicd    = merge({ repository = "", branch = "main", outside_ci = false, promotes_to = "", promotes_from = "", keep_images = 100 }, try(local.platform.cicd, {}))
  budget  = merge({ billing_account = "", usd_month = 50 }, try(local.platform.budget, {}))

  repository = try(local.platform.repository, "lectern")

  # Chat alone is in two regions, and only behind the load balancer.
  chat_regions = compact([local.region, local.edge.enabled ? local.edge.second_region : ""])

  data_bucket = trimprefix(local.config.storage_bucket, "gs://")
  # The published site behind the load balancer.
  static_bucket = local.edge.enabled ? "${local.data_bucket}-static" : ""
}
