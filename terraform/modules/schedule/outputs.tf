output "name" {
  value = google_cloud_scheduler_job.this.name
}

output "one_call" {
  description = "How often a call is tried, and the seconds from its first try to the end of its last one, at most."
  value = {
    tries   = var.spec.retries + 1
    seconds = (var.spec.retries + 1) * var.spec.deadline_seconds + var.spec.retries * local.longest_pause
  }
}
