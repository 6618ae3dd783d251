output "address" {
  value = google_compute_global_address.this.address
}

output "static_bucket" {
  value = google_storage_bucket.static.name
}
