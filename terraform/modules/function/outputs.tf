output "account" {
  value = google_service_account.this.email
}

output "member" {
  value = google_service_account.this.member
}

output "uri" {
  value = google_cloud_run_v2_service.this[var.regions[0]].uri
}
