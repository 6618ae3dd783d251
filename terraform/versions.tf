terraform {
  # 1.11: write-only attributes, so that no value of a secret can come into the state.
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.7"
    }
  }

  # Bucket and prefix of each environment stand in backends/.
  backend "gcs" {}
}
