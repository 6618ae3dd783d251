variables {
  name        = "lectern-chat"
  module_name = "chat"
  regions     = ["europe-west1"]
  environment = "staging"
  image       = "europe-west1-docker.pkg.dev/p/lectern/lectern@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  spec        = { memory = "1Gi", min_instances = 1, max_instances = 3, public = true, secrets = ["GEMINI_API_KEY"] }
  secrets     = { GEMINI_API_KEY = { secret = "lectern-gemini-api-key", version = "7" } }
  subnetworks = {}
  protected   = true
  deployer    = "serviceAccount:release@p.iam.gserviceaccount.com"
  invokers    = {}
  audiences   = []
}

run "public" {
  command = plan
  module {
    source = "./modules/function"
  }

  assert {
    condition     = google_cloud_run_v2_service.this["europe-west1"].invoker_iam_disabled && length(google_cloud_run_v2_service_iam_member.invoker) == 0
    error_message = "chat is open by turning the check off, not by a grant to everybody"
  }
  assert {
    condition     = google_cloud_run_v2_service.this["europe-west1"].scaling[0].min_instance_count == 1 && google_cloud_run_v2_service.this["europe-west1"].scaling[0].max_instance_count == 3
    error_message = "scaling belongs to the service"
  }
  assert {
    condition     = google_cloud_run_v2_service.this["europe-west1"].deletion_protection
    error_message = "a protected service can be destroyed"
  }
}

run "first_revision" {
  command = plan
  module {
    source = "./modules/function"
  }

  assert {
    condition     = { for env in google_cloud_run_v2_service.this["europe-west1"].template[0].containers[0].env : env.name => env.value if env.value != null && env.value != "" } == { LECTERN_ENV = "staging", FUNCTION_SOURCE = "functions/chat.py", FUNCTION_TARGET = "chat", PYTHONPATH = "/workspace", THREADS = "80" }
    error_message = "variables of the first revision"
  }
  assert {
    condition     = one([for env in google_cloud_run_v2_service.this["europe-west1"].template[0].containers[0].env : env.value_source[0].secret_key_ref[0].version if env.name == "GEMINI_API_KEY"]) == "7"
    error_message = "the secret's version is not pinned"
  }
  assert {
    condition     = google_cloud_run_v2_service.this["europe-west1"].template[0].containers[0].startup_probe[0].http_get[0].path == "/live"
    error_message = "the start-up probe must touch no service"
  }
  assert {
    condition     = length(google_secret_manager_secret_iam_member.reads) == 1
    error_message = "one grant for each secret"
  }
}

run "before_there_is_an_image" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    image = ""
  }

  assert {
    condition     = google_cloud_run_v2_service.this["europe-west1"].template[0].containers[0].image == "us-docker.pkg.dev/cloudrun/container/hello"
    error_message = "a service must be makeable before there is an image"
  }
  assert {
    condition     = length(google_cloud_run_v2_service.this["europe-west1"].template[0].containers[0].env) == 0
    error_message = "a secret without a version would stop the first apply"
  }
}

run "internal" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    name        = "lectern-ingest"
    module_name = "ingest"
    spec        = { concurrency = 8 }
    invokers    = { schedules = "serviceAccount:s@p.iam.gserviceaccount.com" }
    audiences   = ["https://lectern.internal"]
  }

  assert {
    condition     = !google_cloud_run_v2_service.this["europe-west1"].invoker_iam_disabled
    error_message = "an internal function is open"
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.invoker["europe-west1/schedules"].role == "roles/run.invoker"
    error_message = "the schedules cannot call"
  }
  assert {
    condition     = google_cloud_run_v2_service.this["europe-west1"].template[0].max_instance_request_concurrency == 8
    error_message = "concurrency is not that of the configuration"
  }
}

run "two_regions_through_the_network" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    regions     = ["europe-west1", "us-central1"]
    subnetworks = { europe-west1 = "sub-a", us-central1 = "sub-b" }
  }

  assert {
    condition     = google_cloud_run_v2_service.this["us-central1"].template[0].vpc_access[0].network_interfaces[0].subnetwork == "sub-b"
    error_message = "each region leaves through its own subnetwork"
  }
  assert {
    condition     = google_cloud_run_v2_service.this["europe-west1"].template[0].vpc_access[0].egress == "ALL_TRAFFIC"
    error_message = "only all traffic has the static address"
  }
}
