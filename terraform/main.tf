data "google_project" "this" {}

resource "google_project_service" "needed" {
  for_each = toset([
    "artifactregistry.googleapis.com",
    "billingbudgets.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudkms.googleapis.com",
    "cloudscheduler.googleapis.com",
    "compute.googleapis.com",
    "iam.googleapis.com",
    "iamcredentials.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
    "sts.googleapis.com",
  ])

  service            = each.key
  disable_on_destroy = false
}

module "secrets" {
  source = "./modules/secrets"

  names = toset([for variable, reference in local.config.secrets : reference.secret])

  depends_on = [google_project_service.needed]
}

module "network" {
  source = "./modules/network"
  count  = local.network.egress == "direct" ? 1 : 0

  name           = "lectern"
  regions        = local.chat_regions
  range          = local.network.range
  static_address = local.network.static_address

  depends_on = [google_project_service.needed]
}

module "function" {
  source   = "./modules/function"
  for_each = local.functions

  name        = local.names[each.key]
  module_name = each.key
  regions     = each.key == "chat" ? local.chat_regions : [local.region]
  environment = var.environment
  image       = var.image
  spec        = each.value
  secrets     = local.config.secrets
  audiences   = each.key == "chat" ? [] : [local.config.caller_audience]
  subnetworks = try(module.network[0].subnetworks, {})
  protected   = local.production
  deployer    = module.cicd.release_member

  # Who may call: nobody for chat, whose check is off; the schedules' account where a schedule exists; the account
  # of releases, which asks each candidate at its own address before readers do.
  invokers = each.key == "chat" ? {} : merge(
    { release = module.cicd.release_member },
    contains(values(local.scheduled), each.key) ? { schedules = google_service_account.schedules.member } : {},
    each.key == "health" ? { uptime = local.uptime_agent } : {},
  )

  depends_on = [google_project_service.needed, module.secrets]
}

module "job" {
  source   = "./modules/job"
  for_each = local.jobs

  name        = "${local.names[each.key]}-job"
  region      = local.region
  environment = var.environment
  image       = var.image
  spec        = each.value
  secrets     = local.config.secrets
  account     = module.function[each.key].account
  subnetworks = try(module.network[0].subnetworks, {})
  protected   = local.production
  deployer    = module.cicd.release_member
}

resource "google_service_account" "schedules" {
  account_id   = "lectern-schedules"
  display_name = "Cloud Scheduler's calls of Lectern's functions"

  depends_on = [google_project_service.needed]
}

module "schedule" {
  source   = "./modules/schedule"
  for_each = local.schedules

  name     = local.names[each.key]
  region   = local.region
  spec     = each.value
  uri      = module.function[local.scheduled[each.key]].uri
  account  = google_service_account.schedules.email
  audience = local.config.caller_audience
}

module "data_bucket" {
  source = "./modules/data_bucket"

  name = local.data_bucket
  spec = merge({ location = local.region }, { for k, v in try(local.platform.buckets.data, {}) : k => v if v != "" })

  depends_on = [google_project_service.needed]
}

module "backup_bucket" {
  source   = "./modules/backup_bucket"
  for_each = local.backup_places

  name     = each.value.name
  location = each.value.location
  spec     = try(local.platform.buckets.backup, {})
  # Recovery points that Lectern itself encrypts: their data keys are wrapped with a key of the first place.
  wraps      = each.key == "first"
  encrypters = { for key in ["backup_neon", "backup_qdrant"] : key => module.function[key].member }
  decrypters = { drill = module.function["drill"].member }

  depends_on = [google_project_service.needed]
}

module "cicd" {
  source = "./modules/cicd"

  environment   = var.environment
  project       = local.project
  region        = local.region
  repository    = local.repository
  source_code   = local.cicd.repository
  branch        = local.cicd.branch
  outside_ci    = local.cicd.outside_ci
  promotes_to   = local.cicd.promotes_to
  promotes_from = local.cicd.promotes_from
  keep_images   = local.cicd.keep_images
  data_bucket   = module.data_bucket.name
  static_bucket = local.static_bucket
  # A release applies migrations, and reads and moves the alias of the live generation.
  secrets        = { for variable in ["DATABASE_URL", "QDRANT_API_KEY"] : variable => local.config.secrets[variable] }
  waits_for_okay = local.production

  depends_on = [google_project_service.needed, module.secrets]
}

module "edge" {
  source = "./modules/edge"
  count  = local.edge.enabled ? 1 : 0

  name                = "lectern"
  service             = local.names["chat"]
  regions             = local.chat_regions
  domains             = local.edge.domains
  requests_per_minute = local.edge.requests_per_minute
  static_bucket       = local.static_bucket
  publisher           = module.cicd.release_member
  location            = local.region

  depends_on = [module.function]
}

module "monitoring" {
  source = "./modules/monitoring"

  project     = local.project
  environment = var.environment
  services    = [for key in keys(local.functions) : local.names[key]]
  thresholds = merge(
    { error_rate = 0.01, error_rate_critical = 0.05, latency_p95 = 2 },
    try(local.config.alert_thresholds, {}),
  )
  spend_usd_month = try(local.config.spend_cap_usd_month, 100)
  rpo_hours       = try(local.config.rpo_hours, 24)
  drill_age_days  = try(local.config.drill_max_age_days, 8)
  spec            = try(local.platform.monitoring, {})
  schedules       = { for key, schedule in module.schedule : local.names[key] => schedule.one_call }
  billing_account = local.budget.billing_account
  budget_usd      = local.budget.usd_month
  project_number  = data.google_project.this.number
  # Chat at its own address in each region: behind the load balancer one of them could be down unseen.
  uptime_hosts = merge(
    { for region, uri in module.function["chat"].uris : region == local.region ? "chat" : "chat-${region}" => { host = trimprefix(uri, "https://"), signed_in = false } },
    { health = { host = trimprefix(module.function["health"].uri, "https://"), signed_in = true } },
  )

  depends_on = [google_project_service.needed]
}
