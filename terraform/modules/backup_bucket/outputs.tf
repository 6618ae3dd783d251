output "name" {
  value = google_storage_bucket.this.name
}

output "recovery_key" {
  value = try(google_kms_crypto_key.recovery[0].id, "")
}
