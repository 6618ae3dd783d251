variable "environment" {
  description = "Which file of config/ says what runs."
  type        = string

  validation {
    condition     = contains(["staging", "production"], var.environment)
    error_message = "environment must be staging or production: development runs on one machine."
  }
}

variable "image" {
  description = <<-EOT
    First image of every function and job, by digest. Empty: a page of Google's that says hello, without secrets,
    until the first release. Read when a service is made; afterwards each release deploys its own image.
  EOT
  type        = string
  default     = ""

  validation {
    condition     = var.image == "" || can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image must be named by its digest, as in europe-west1-docker.pkg.dev/p/lectern/lectern@sha256:…"
  }
}

variable "config_folder" {
  description = "Folder of <environment>.yaml."
  type        = string
  default     = "../config"
}
