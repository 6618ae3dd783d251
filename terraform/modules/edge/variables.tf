variable "name" {
  type = string
}

variable "service" {
  description = "Cloud Run service that readers call."
  type        = string
}

variable "regions" {
  type = list(string)
}

variable "domains" {
  description = "Names that readers use; the certificate is for these."
  type        = list(string)
}

variable "requests_per_minute" {
  description = "Requests of one address a minute above which the answer is 429."
  type        = number
}

variable "static_bucket" {
  description = "Bucket of the published site's static parts."
  type        = string
}

variable "publisher" {
  description = "Account that copies the built site into that bucket."
  type        = string
}

variable "location" {
  type = string
}
