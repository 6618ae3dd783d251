resource "google_artifact_registry_repository" "images" {
  #checkov:skip=CKV_GCP_84: images hold code that is public and no data; Google's own key encrypts them.
  repository_id = var.repository
  location      = var.region
  format        = "DOCKER"
  description   = "One image serves every function and job."

  # Tags may move: with fixed ones, nothing that has a tag is ever deleted, and releases name images by digest.
  cleanup_policy_dry_run = false

  # An image that is kept is a release that can be rolled back to, here and where it was promoted to.
  cleanup_policies {
    id     = "keep-newest"
    action = "KEEP"
    most_recent_versions {
      keep_count = var.keep_images
    }
  }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      tag_state  = "ANY"
      older_than = "7776000s"
    }
  }
}

# ---- The account that builds and releases run as

resource "google_service_account" "release" {
  account_id   = "lectern-release"
  display_name = "Builds, releases and rollbacks of Lectern"
}

resource "google_artifact_registry_repository_iam_member" "pushes" {
  repository = google_artifact_registry_repository.images.name
  location   = var.region
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.release.member
}

# In the project: what can only be granted there. Deploying is granted on each service and job (modules/function, job).
resource "google_project_iam_custom_role" "release" {
  role_id     = "lecternRelease"
  title       = "Lectern release"
  description = "Follow Cloud Run's long-running operations and see which services there are."
  permissions = [
    "run.locations.list",
    "run.operations.get",
    "run.operations.list",
    "run.services.list",
  ]
}

resource "google_project_iam_member" "release" {
  for_each = {
    operations = google_project_iam_custom_role.release.id
    logs       = "roles/logging.logWriter"
    metrics    = "roles/monitoring.viewer"
  }

  project = var.project
  role    = each.value
  member  = google_service_account.release.member
}

resource "google_storage_bucket_iam_member" "release" {
  bucket = var.data_bucket
  role   = "roles/storage.objectUser"
  member = google_service_account.release.member

  condition {
    title       = "only-releases-site-source"
    description = "Release manifests, golden questions, the built site and the source of builds."
    expression = join(" || ", concat(
      ["resource.type == \"storage.googleapis.com/Bucket\""],
      [for prefix in ["golden/", "releases/", "site/", "source/"] : "resource.name.startsWith(\"projects/_/buckets/${var.data_bucket}/objects/${prefix}\")"],
    ))
  }
}

resource "google_secret_manager_secret_iam_member" "release" {
  for_each = var.secrets

  secret_id = each.value.secret
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.release.member
}

# Candidates of internal functions are asked with a token of this account, for this account.
resource "google_service_account_iam_member" "own_tokens" {
  service_account_id = google_service_account.release.name
  role               = "roles/iam.serviceAccountOpenIdTokenCreator"
  member             = google_service_account.release.member
}

# ---- Triggers: a push to the branch releases here, or a person promotes the digest of another environment

locals {
  owner = split("/", "${var.source_code}/")[0]
  name  = split("/", "${var.source_code}/")[1]
  # A branch of a repository on GitHub.
  address = "https://github.com/${var.source_code}"
  ref     = "refs/heads/${var.branch}"

  # Without a load balancer, the file's own default holds: nothing is published twice.
  substitutions = merge(var.static_bucket == "" ? {} : { _STATIC_BUCKET = var.static_bucket }, {
    _ENVIRONMENT = var.environment
    _REGION      = var.region
    _REPOSITORY  = var.repository
    _DATA_BUCKET = var.data_bucket
    # A build uses the values that the revisions get.
    _DATABASE_SECRET = "${var.secrets["DATABASE_URL"].secret}/versions/${var.secrets["DATABASE_URL"].version}"
    _QDRANT_SECRET   = "${var.secrets["QDRANT_API_KEY"].secret}/versions/${var.secrets["QDRANT_API_KEY"].version}"
  })
}

resource "google_cloudbuild_trigger" "push" {
  count = var.source_code != "" && var.promotes_from == "" ? 1 : 0

  name            = "lectern-release"
  location        = var.region
  description     = "Releases each push to ${var.branch}."
  filename        = "cloudbuild.yaml"
  service_account = google_service_account.release.id

  github {
    owner = local.owner
    name  = local.name
    push {
      branch = "^${var.branch}$"
    }
  }

  substitutions = local.substitutions

  approval_config {
    approval_required = var.waits_for_okay
  }
}

resource "google_cloudbuild_trigger" "promotion" {
  count = var.source_code != "" && var.promotes_from != "" ? 1 : 0

  name            = "lectern-release"
  location        = var.region
  description     = "Promotes a release by its digest: run it with --sha and _PROMOTE."
  service_account = google_service_account.release.id

  source_to_build {
    uri       = local.address
    ref       = local.ref
    repo_type = "GITHUB"
  }

  git_file_source {
    path      = "cloudbuild.yaml"
    uri       = local.address
    revision  = local.ref
    repo_type = "GITHUB"
  }

  substitutions = merge(local.substitutions, { _PROMOTE = "none", _PROMOTE_FROM = var.promotes_from })

  approval_config {
    approval_required = var.waits_for_okay
  }
}

# ---- Promotion: the next environment reads this one's images and release manifests

data "google_project" "next" {
  count = var.promotes_to == "" ? 0 : 1

  project_id = var.promotes_to
}

locals {
  promoters = var.promotes_to == "" ? {} : {
    release = "serviceAccount:lectern-release@${var.promotes_to}.iam.gserviceaccount.com"
    run     = "serviceAccount:service-${data.google_project.next[0].number}@serverless-robot-prod.iam.gserviceaccount.com"
  }
}

resource "google_artifact_registry_repository_iam_member" "promotes" {
  for_each = local.promoters

  repository = google_artifact_registry_repository.images.name
  location   = var.region
  role       = "roles/artifactregistry.reader"
  member     = each.value
}

resource "google_storage_bucket_iam_member" "promotes" {
  for_each = { for who, member in local.promoters : who => member if who == "release" }

  bucket = var.data_bucket
  role   = "roles/storage.objectViewer"
  member = each.value

  condition {
    title      = "only-releases"
    expression = "resource.name.startsWith(\"projects/_/buckets/${var.data_bucket}/objects/releases/\")"
  }
}

# ---- Outside CI signs in with its own token: no key leaves the project

resource "google_iam_workload_identity_pool" "ci" {
  count = var.outside_ci ? 1 : 0

  workload_identity_pool_id = "lectern-ci"
  display_name              = "Lectern CI"
}

resource "google_iam_workload_identity_pool_provider" "github" {
  #checkov:skip=CKV_GCP_125: the subject is the whole repository and branch; checkov sees a variable in its place.
  count = var.outside_ci ? 1 : 0

  workload_identity_pool_id          = google_iam_workload_identity_pool.ci[0].workload_identity_pool_id
  workload_identity_pool_provider_id = "github"
  display_name                       = "GitHub Actions"
  # The one repository and the one branch, and no pull request.
  attribute_condition = "assertion.sub == 'repo:${var.source_code}:ref:refs/heads/${var.branch}'"
  attribute_mapping = {
    "google.subject"       = "assertion.sub"
    "attribute.repository" = "assertion.repository"
    "attribute.ref"        = "assertion.ref"
  }

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }
}

resource "google_service_account_iam_member" "ci" {
  count = var.outside_ci ? 1 : 0

  service_account_id = google_service_account.release.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.ci[0].name}/attribute.repository/${var.source_code}"
}
