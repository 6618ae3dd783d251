# Lifeboats, spool, deletions, suggestions, built sites, release manifests. No retention: the spool is emptied.
resource "google_storage_bucket" "this" {
  #checkov:skip=CKV_GCP_62: who reads and writes is in Cloud Audit Logs, which Google advises instead of usage logs.
  name                        = var.name
  location                    = var.spec.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  versioning {
    enabled = true
  }

  soft_delete_policy {
    retention_duration_seconds = var.spec.soft_delete_days * 86400
  }

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
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }
}
