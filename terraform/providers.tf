provider "google" {
  project               = local.platform.project
  region                = local.platform.region
  user_project_override = true
  billing_project       = local.platform.project

  default_labels = {
    app         = "lectern"
    environment = var.environment
  }
}
