variables {
  name       = "b"
  location   = "europe-west1"
  spec       = { retention_days = 30, retention_locked = true, soft_delete_days = 14, delete_after_days = 90 }
  wraps      = true
  encrypters = { backup_neon = "serviceAccount:n@p.iam.gserviceaccount.com" }
  decrypters = { drill = "serviceAccount:d@p.iam.gserviceaccount.com" }
}

run "recovery_points_cannot_be_deleted_or_published" {
  command = plan
  module {
    source = "./modules/backup_bucket"
  }

  assert {
    condition     = tonumber(google_storage_bucket.this.retention_policy[0].retention_period) == 30 * 86400 && google_storage_bucket.this.retention_policy[0].is_locked
    error_message = "retention"
  }
  assert {
    condition     = google_storage_bucket.this.public_access_prevention == "enforced" && google_storage_bucket.this.uniform_bucket_level_access
    error_message = "public access"
  }
  assert {
    condition     = google_storage_bucket.this.versioning[0].enabled && google_storage_bucket.this.soft_delete_policy[0].retention_duration_seconds == 14 * 86400
    error_message = "versions and soft delete"
  }
  assert {
    condition     = google_kms_crypto_key_iam_member.decrypter["drill"].role == "roles/cloudkms.cryptoKeyDecrypter" && google_kms_crypto_key_iam_member.encrypter["backup_neon"].role == "roles/cloudkms.cryptoKeyEncrypter"
    error_message = "who wraps and who unwraps"
  }
  assert {
    condition     = length([for rule in google_storage_bucket.this.lifecycle_rule : rule if one(rule.action).type == "Delete" && one(rule.condition).age == 90]) == 1
    error_message = "asked for, everything goes by age"
  }
}

run "without_retention" {
  command = plan
  module {
    source = "./modules/backup_bucket"
  }
  variables {
    spec  = { retention_days = 0 }
    wraps = false
  }

  assert {
    condition     = length(google_storage_bucket.this.retention_policy) == 0
    error_message = "0 days is no policy"
  }
  assert {
    condition     = alltrue([for rule in google_storage_bucket.this.lifecycle_rule : one(rule.condition).days_since_noncurrent_time > 0 if one(rule.action).type == "Delete"])
    error_message = "unasked, the bucket must delete nothing that is live: a point on hold, or the only verified one"
  }
  assert {
    condition     = length(google_kms_crypto_key.recovery) == 0 && length(google_kms_crypto_key_iam_member.encrypter) == 0
    error_message = "the second place wraps nothing"
  }
}

run "expiry_before_the_end_of_retention_is_refused" {
  command = plan
  module {
    source = "./modules/backup_bucket"
  }
  variables {
    spec = { retention_days = 30, delete_after_days = 30 }
  }

  expect_failures = [var.spec]
}

run "the_spool_can_be_emptied" {
  command = plan
  module {
    source = "./modules/data_bucket"
  }
  variables {
    spec = { location = "europe-west1" }
  }

  assert {
    condition     = length(google_storage_bucket.this.retention_policy) == 0
    error_message = "with a retention policy nothing of the spool could be deleted"
  }
}
