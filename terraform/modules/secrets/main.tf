# Containers alone. An operator adds the versions (docs/operating/deploy.md), so no value comes into the state.
resource "google_secret_manager_secret" "this" {
  for_each = var.names

  secret_id           = each.key
  deletion_protection = true

  replication {
    auto {}
  }

  # A pinned version that somebody destroys can be brought back for a week.
  version_destroy_ttl = "604800s"

  lifecycle {
    prevent_destroy = true
  }
}
