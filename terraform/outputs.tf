output "addresses" {
  description = "Address of each function."
  value       = { for key, function in module.function : key => function.uri }
}

output "accounts" {
  description = "Service account of each function."
  value       = { for key, function in module.function : key => function.account }
}

output "release_account" {
  description = "Account that builds and releases run as."
  value       = module.cicd.release_account
}

output "repository" {
  description = "Where images go."
  value       = module.cicd.repository
}

output "data_bucket" {
  description = "Bucket of lifeboats, spool and sites."
  value       = module.data_bucket.name
}

output "backup_buckets" {
  description = "Buckets of recovery points, the first and, where there is one, the second region's."
  value       = { for key, bucket in module.backup_bucket : key => bucket.name }
}

output "recovery_key" {
  description = "Cloud KMS key that wraps the data keys of recovery points."
  value       = module.backup_bucket["first"].recovery_key
}

output "egress_addresses" {
  description = "Addresses for the allow-lists of Neon and Qdrant; empty without a static address."
  value       = try(module.network[0].addresses, [])
}

output "static_bucket" {
  description = "Bucket of the site behind the load balancer, which builds fill; empty without one."
  value       = local.static_bucket
}

output "edge_address" {
  description = "Address of the load balancer, for the domain's A record; empty without one."
  value       = try(module.edge[0].address, "")
}
