output "release_account" {
  value = google_service_account.release.email
}

output "release_member" {
  value = google_service_account.release.member
}

output "repository" {
  value = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
}
