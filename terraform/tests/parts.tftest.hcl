run "a_schedule_calls_with_a_token" {
  command = plan
  module {
    source = "./modules/schedule"
  }
  variables {
    name     = "lectern-ingest"
    region   = "europe-west1"
    spec     = { cron = "0 2 * * *", path = "/ingest" }
    uri      = "https://lectern-ingest.run.app"
    audience = "https://lectern.internal"
    account  = "lectern-schedules@p.iam.gserviceaccount.com"
  }

  assert {
    condition     = google_cloud_scheduler_job.this.http_target[0].uri == "https://lectern-ingest.run.app/ingest" && google_cloud_scheduler_job.this.http_target[0].http_method == "POST"
    error_message = "address and method"
  }
  assert {
    condition     = google_cloud_scheduler_job.this.http_target[0].oidc_token[0].audience == "https://lectern.internal"
    error_message = "the code refuses another audience"
  }
  assert {
    condition     = google_cloud_scheduler_job.this.attempt_deadline == "1800s"
    error_message = "half an hour is the most that Cloud Scheduler waits"
  }
}

run "a_job_is_started_by_its_function_alone" {
  command = plan
  module {
    source = "./modules/job"
  }
  variables {
    name        = "lectern-ingest-job"
    region      = "europe-west1"
    environment = "staging"
    image       = "r/lectern@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    spec        = { cpu = 2, memory = "2Gi", parallelism = 4, timeout_seconds = 7200 }
    secrets     = {}
    account     = "lectern-ingest@p.iam.gserviceaccount.com"
    subnetworks = {}
    protected   = false
    deployer    = "serviceAccount:release@p.iam.gserviceaccount.com"
  }

  assert {
    condition     = toset([for grant in google_cloud_run_v2_job_iam_member.starts : grant.member]) == toset(["serviceAccount:lectern-ingest@p.iam.gserviceaccount.com"])
    error_message = "who starts it"
  }
  assert {
    condition     = google_cloud_run_v2_job.this.template[0].template[0].service_account == "lectern-ingest@p.iam.gserviceaccount.com"
    error_message = "what it runs as"
  }
  assert {
    condition     = google_cloud_run_v2_job.this.template[0].template[0].timeout == "7200s" && google_cloud_run_v2_job.this.template[0].parallelism == 4
    error_message = "time-out and parallelism"
  }
}

run "each_region_has_its_own_range" {
  command = plan
  module {
    source = "./modules/network"
  }
  variables {
    name           = "lectern"
    regions        = ["europe-west1", "us-central1"]
    range          = "10.20.0.0/26"
    static_address = true
  }

  assert {
    condition     = google_compute_subnetwork.this["europe-west1"].ip_cidr_range == "10.20.0.0/26" && google_compute_subnetwork.this["us-central1"].ip_cidr_range == "10.20.0.64/26"
    error_message = "ranges"
  }
  assert {
    condition     = google_compute_router_nat.this["us-central1"].nat_ip_allocate_option == "MANUAL_ONLY"
    error_message = "Neon's allow-list needs an address that stays"
  }
}

run "no_static_address_unless_asked" {
  command = plan
  module {
    source = "./modules/network"
  }
  variables {
    name           = "lectern"
    regions        = ["europe-west1"]
    range          = "10.20.0.0/26"
    static_address = false
  }

  assert {
    condition     = length(google_compute_address.this) == 0 && google_compute_router_nat.this["europe-west1"].nat_ip_allocate_option == "AUTO_ONLY"
    error_message = "an address costs money"
  }
}

run "the_edge_limits_each_address" {
  command = plan
  module {
    source = "./modules/edge"
  }
  variables {
    name                = "lectern"
    service             = "lectern-chat"
    regions             = ["europe-west1", "us-central1"]
    domains             = ["docs.example.com"]
    requests_per_minute = 90
    static_bucket       = "s"
    publisher           = "serviceAccount:release@p.iam.gserviceaccount.com"
    location            = "europe-west1"
  }

  assert {
    condition     = length(google_compute_region_network_endpoint_group.chat) == 2
    error_message = "two regions"
  }
  assert {
    condition     = one([for rule in google_compute_security_policy.this.rule : rule.rate_limit_options[0].rate_limit_threshold[0].count if rule.action == "throttle"]) == 90
    error_message = "limit"
  }
  assert {
    condition     = google_storage_bucket_iam_member.publisher.bucket == "s" && google_storage_bucket_iam_member.publisher.member == "serviceAccount:release@p.iam.gserviceaccount.com"
    error_message = "builds cannot publish, so the bucket stays empty"
  }
  assert {
    condition     = google_compute_url_map.to_https.default_url_redirect[0].https_redirect
    error_message = "plain HTTP is served"
  }
}

run "nothing_is_released_without_a_repository" {
  command = plan
  module {
    source = "./modules/cicd"
  }
  variables {
    environment   = "staging"
    project       = "p"
    region        = "europe-west1"
    repository    = "lectern"
    source_code   = ""
    branch        = "main"
    outside_ci    = false
    promotes_to   = ""
    keep_images   = 20
    data_bucket   = "d"
    static_bucket = ""
    promotes_from = ""
    secrets = {
      DATABASE_URL   = { secret = "lectern-database-url", version = "3" }
      QDRANT_API_KEY = { secret = "lectern-qdrant-api-key", version = "2" }
    }
    waits_for_okay = false
  }

  assert {
    condition     = length(google_artifact_registry_repository.images.cleanup_policies) == 2 && length(google_artifact_registry_repository.images.docker_config) == 0
    error_message = "a tag that cannot be moved keeps its image from being cleaned up"
  }
  assert {
    condition     = length(google_cloudbuild_trigger.push) + length(google_cloudbuild_trigger.promotion) == 0 && length(google_iam_workload_identity_pool.ci) == 0
    error_message = "a trigger without a repository"
  }
}

run "outside_ci_is_one_branch_of_one_repository" {
  command = plan
  module {
    source = "./modules/cicd"
  }
  variables {
    environment   = "production"
    project       = "p"
    region        = "europe-west1"
    repository    = "lectern"
    source_code   = "acme/docs"
    branch        = "main"
    outside_ci    = true
    promotes_to   = "p-next"
    keep_images   = 20
    data_bucket   = "d"
    static_bucket = "d-static"
    promotes_from = ""
    secrets = {
      DATABASE_URL   = { secret = "lectern-database-url", version = "3" }
      QDRANT_API_KEY = { secret = "lectern-qdrant-api-key", version = "2" }
    }
    waits_for_okay = true
  }

  assert {
    condition     = google_iam_workload_identity_pool_provider.github[0].attribute_condition == "assertion.sub == 'repo:acme/docs:ref:refs/heads/main'"
    error_message = "a pull request could sign in"
  }
  assert {
    condition     = google_cloudbuild_trigger.push[0].approval_config[0].approval_required
    error_message = "production is released without approval"
  }
  assert {
    condition     = google_cloudbuild_trigger.push[0].substitutions["_DATABASE_SECRET"] == "lectern-database-url/versions/3" && google_cloudbuild_trigger.push[0].substitutions["_QDRANT_SECRET"] == "lectern-qdrant-api-key/versions/2"
    error_message = "migrations would use another value than the revisions"
  }
  assert {
    condition     = google_cloudbuild_trigger.push[0].substitutions["_STATIC_BUCKET"] == "d-static"
    error_message = "builds do not know where the load balancer's files lie"
  }
  assert {
    condition     = length(google_artifact_registry_repository_iam_member.promotes) == 2
    error_message = "the next environment cannot read the image"
  }
}

run "a_promotion_is_started_by_a_person" {
  command = plan
  module {
    source = "./modules/cicd"
  }
  variables {
    environment   = "production"
    project       = "p"
    region        = "europe-west1"
    repository    = "lectern"
    source_code   = "acme/docs"
    branch        = "main"
    outside_ci    = false
    promotes_to   = ""
    promotes_from = "gs://lectern-staging-data"
    keep_images   = 20
    data_bucket   = "d"
    static_bucket = ""
    secrets = {
      DATABASE_URL   = { secret = "lectern-database-url", version = "3" }
      QDRANT_API_KEY = { secret = "lectern-qdrant-api-key", version = "2" }
    }
    waits_for_okay = true
  }

  assert {
    condition     = length(google_cloudbuild_trigger.push) == 0 && google_cloudbuild_trigger.promotion[0].substitutions["_PROMOTE_FROM"] == "gs://lectern-staging-data"
    error_message = "a push would release to production"
  }
  assert {
    condition     = google_cloudbuild_trigger.promotion[0].substitutions["_DATABASE_SECRET"] == "lectern-database-url/versions/3" && google_cloudbuild_trigger.promotion[0].substitutions["_QDRANT_SECRET"] == "lectern-qdrant-api-key/versions/2"
    error_message = "migrations would use another value than the revisions"
  }
}
