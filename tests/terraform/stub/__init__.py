"""A stand-in for terraform-provider-google that the real Terraform talks to, with no network and no cloud.

It speaks Terraform's plugin protocol 5 over gRPC and knows the provider's real attributes (``schema/``), so
the real ``validate``, ``plan``, ``test`` and ``apply`` find what is misspelt, missing, of a wrong type or not
to be set. It knows neither defaults, nor which change replaces a resource, nor what the API would refuse.
"""
