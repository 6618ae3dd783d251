data "google_storage_project_service_account" "agent" {}

resource "google_kms_key_ring" "this" {
  name     = "lectern-backup"
  location = lower(var.location)
}

# The bucket's own encryption: taking this key away closes the whole bucket.
resource "google_kms_crypto_key" "bucket" {
  name            = "bucket"
  key_ring        = google_kms_key_ring.this.id
  purpose         = "ENCRYPT_DECRYPT"
  rotation_period = "7776000s"

  lifecycle {
    prevent_destroy = true
  }
}

# Wraps the data keys of recovery points that Lectern encrypts before they leave the function.
resource "google_kms_crypto_key" "recovery" {
  count = var.wraps ? 1 : 0

  name            = "recovery"
  key_ring        = google_kms_key_ring.this.id
  purpose         = "ENCRYPT_DECRYPT"
  rotation_period = "7776000s"

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_kms_crypto_key_iam_member" "bucket" {
  crypto_key_id = google_kms_crypto_key.bucket.id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:${data.google_storage_project_service_account.agent.email_address}"
}

# A backup makes a data key of its own and only has it wrapped: whoever breaks into one cannot read older points.
resource "google_kms_crypto_key_iam_member" "encrypter" {
  for_each = var.wraps ? var.encrypters : {}

  crypto_key_id = google_kms_crypto_key.recovery[0].id
  role          = "roles/cloudkms.cryptoKeyEncrypter"
  member        = each.value
}

resource "google_kms_crypto_key_iam_member" "decrypter" {
  for_each = var.wraps ? var.decrypters : {}

  crypto_key_id = google_kms_crypto_key.recovery[0].id
  role          = "roles/cloudkms.cryptoKeyDecrypter"
  member        = each.value
}

resource "google_storage_bucket" "this" {
  #checkov:skip=CKV_GCP_62: who reads and writes is in Cloud Audit Logs, which Google advises instead of usage logs.
  name                        = var.name
  location                    = var.location
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  versioning {
    enabled = true
  }

  soft_delete_policy {
    retention_duration_seconds = var.spec.soft_delete_days * 86400
  }

  # Nobody can delete or replace a younger object, whoever holds which role.
  dynamic "retention_policy" {
    for_each = var.spec.retention_days > 0 ? [var.spec.retention_days] : []
    content {
      retention_period = retention_policy.value * 86400
      is_locked        = var.spec.retention_locked
    }
  }

  encryption {
    default_kms_key_name = google_kms_crypto_key.bucket.id
  }

  # Lectern's own retention decides which points go. A rule by age knows of no hold and of no verified point.
  dynamic "lifecycle_rule" {
    for_each = var.spec.delete_after_days > 0 ? [var.spec.delete_after_days] : []
    content {
      action {
        type = "Delete"
      }
      condition {
        age = lifecycle_rule.value
      }
    }
  }

  # What Lectern deleted, and the bucket kept as a version.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = var.spec.noncurrent_days
    }
  }

  lifecycle_rule {
    action {
      type          = "SetStorageClass"
      storage_class = "NEARLINE"
    }
    condition {
      age                   = 30
      matches_storage_class = ["STANDARD"]
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_kms_crypto_key_iam_member.bucket]
}
