variable "names" {
  description = "Secrets that the configuration refers to."
  type        = set(string)
}
