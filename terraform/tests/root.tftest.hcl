run "staging" {
  command = plan

  variables {
    environment = "staging"
  }

  assert {
    condition     = output.data_bucket == "lectern-staging-data"
    error_message = "the data bucket is not that of the setting storage_bucket"
  }
  assert {
    condition     = output.backup_buckets == { first = "lectern-staging-backup" }
    error_message = "the backup bucket is not that of the setting backup_bucket"
  }
  assert {
    condition     = length(output.egress_addresses) == 0 && output.edge_address == "" && output.static_bucket == ""
    error_message = "network and edge are off unless they are asked for"
  }
  assert {
    condition     = length(output.accounts) == 6
    error_message = "one account for each function"
  }
}

run "production_with_everything" {
  command = plan

  variables {
    environment   = "production"
    config_folder = "../tests/terraform/everything"
  }

  assert {
    condition     = output.backup_buckets == { first = "lectern-production-backup", second = "lectern-production-backup-copy" }
    error_message = "the copy in a second region is missing"
  }
  assert {
    condition     = output.static_bucket == "lectern-production-data-static"
    error_message = "nobody can tell where the load balancer's files lie"
  }
  assert {
    condition     = output.repository == "europe-west1-docker.pkg.dev/lectern-production/lectern"
    error_message = "images go elsewhere"
  }
}

run "development_is_refused" {
  command = plan

  variables {
    environment = "development"
  }

  expect_failures = [var.environment]
}

run "an_image_without_digest_is_refused" {
  command = plan

  variables {
    environment = "staging"
    image       = "europe-west1-docker.pkg.dev/lectern-staging/lectern/lectern:latest"
  }

  expect_failures = [var.image]
}
