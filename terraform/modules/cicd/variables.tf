variable "environment" {
  type = string
}

variable "project" {
  type = string
}

variable "region" {
  type = string
}

variable "repository" {
  description = "Name of the repository of images."
  type        = string
}

variable "source_code" {
  description = "owner/name on GitHub; empty for no trigger."
  type        = string
}

variable "branch" {
  description = "Branch whose pushes start a release."
  type        = string
}

variable "outside_ci" {
  description = "Whether workflows of source_code may sign in as the account of releases, without a key."
  type        = bool
}

variable "promotes_to" {
  description = "Project whose releases may take over images of this one; empty for none."
  type        = string
}

variable "keep_images" {
  description = "Images that the clean-up leaves, the newest ones."
  type        = number
}

variable "data_bucket" {
  description = "Bucket that holds release manifests and the built site."
  type        = string
}

variable "static_bucket" {
  description = "Bucket of the site behind the load balancer; empty without one."
  type        = string
}

variable "promotes_from" {
  description = "Bucket of the environment whose releases are promoted here; a person starts them. Empty: pushes do."
  type        = string
}

variable "secrets" {
  description = "DATABASE_URL and QDRANT_API_KEY -> the version of a secret that a release reads."
  type        = map(object({ secret = string, version = string }))
}

variable "waits_for_okay" {
  description = "Whether somebody must approve each release."
  type        = bool
}
