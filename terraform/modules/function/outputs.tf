output "account" {
  value = google_service_account.this.email
}

output "member" {
  value = google_service_account.this.member
}

output "uris" {
  description = "Address in each region."
  value       = { for region, service in google_cloud_run_v2_service.this : region => service.uri }
}

output "uri" {
  value = google_cloud_run_v2_service.this[var.regions[0]].uri
}
