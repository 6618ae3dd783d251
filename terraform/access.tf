# Who may read and write what in the buckets: by prefix, so that chat cannot read recovery points and a backup
# cannot touch lifeboats. Listing names goes by the bucket itself, not by prefix.
locals {
  uptime_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-monitoring-notification.iam.gserviceaccount.com"

  backup_places = merge(
    {
      first = {
        name     = trimprefix(local.config.backup_bucket, "gs://")
        location = coalesce(try(local.platform.buckets.backup.location, ""), local.region)
      }
    },
    try(local.platform.buckets.backup.second_location, "") == "" ? {} : {
      second = {
        name     = trimprefix(local.config.backup_copy_bucket, "gs://")
        location = local.platform.buckets.backup.second_location
      }
    },
  )

  # function -> what it may do under which prefixes of the data bucket
  data_grants = {
    chat = [
      { may = "use", prefixes = ["spool/", "deletions/"] },
      { may = "read", prefixes = ["lifeboats/", "suggestions.json"] },
    ]
    health = [{ may = "read", prefixes = ["health/"] }]
    ingest = [
      { may = "use", prefixes = ["lifeboats/", "suggestions.json", "spool/", "deletions/", "ingestion/"] },
      { may = "read", prefixes = ["site/", "golden/"] },
    ]
    backup_neon = [
      { may = "use", prefixes = ["spool/"] },
      { may = "add", prefixes = ["deletions/"] },
      { may = "read", prefixes = ["releases/", "golden/"] },
    ]
    backup_qdrant = [
      { may = "use", prefixes = ["spool/"] },
      { may = "add", prefixes = ["deletions/"] },
      { may = "read", prefixes = ["releases/", "terraform/", "golden/"] },
    ]
  }

  # function -> what it may do under which prefixes of the buckets of recovery points
  backup_grants = {
    backup_neon   = [{ may = "use", prefixes = ["points/", "recovery/", "deletions/"] }]
    backup_qdrant = [{ may = "use", prefixes = ["points/", "recovery/", "deletions/"] }]
    drill = [
      { may = "add", prefixes = ["points/", "recovery/"] },
      { may = "read", prefixes = ["deletions/"] },
    ]
    health = [{ may = "read", prefixes = ["points/", "recovery/"] }]
  }

  roles = {
    use  = ["roles/storage.objectUser"]
    read = ["roles/storage.objectViewer"]
    add  = ["roles/storage.objectViewer", "roles/storage.objectCreator"]
  }

  bucket_access = merge(
    { for grant in flatten([
      for key, grants in local.data_grants : [
        for grant in grants : [
          for role in local.roles[grant.may] : {
            name = "data/${key}/${grant.may}", bucket = module.data_bucket.name, member = module.function[key].member,
            role = role, prefixes = grant.prefixes
          }
        ]
      ]
    ]) : "${grant.name}/${grant.role}" => grant },
    { for grant in flatten([
      for place, bucket in local.backup_places : [
        for key, grants in local.backup_grants : [
          for grant in grants : [
            for role in local.roles[grant.may] : {
              name = "${place}/${key}/${grant.may}", bucket = bucket.name, member = module.function[key].member,
              role = role, prefixes = grant.prefixes
            }
          ]
        ]
      ]
    ]) : "${grant.name}/${grant.role}" => grant },
  )
}

resource "google_storage_bucket_iam_member" "function" {
  for_each = local.bucket_access

  bucket = each.value.bucket
  role   = each.value.role
  member = each.value.member

  condition {
    title       = "only-${replace(replace(join("-", each.value.prefixes), "/", ""), ".", "-")}"
    description = "Names of the whole bucket, content under these prefixes alone."
    expression = join(" || ", concat(
      ["resource.type == \"storage.googleapis.com/Bucket\""],
      [for prefix in each.value.prefixes : "resource.name.startsWith(\"projects/_/buckets/${each.value.bucket}/objects/${prefix}\")"],
    ))
  }

  depends_on = [module.data_bucket, module.backup_bucket]
}
