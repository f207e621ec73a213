"""The protocol stubs, generated from `protos/` by `make protos`."""
