// Package registry fetches manifests and blobs from image registries (OCI
// distribution specification, Docker Registry v2).
//
// Level: L1.
// Owns: the registry client library (containerd/v2/core/remotes/docker); nothing on disk.
// May import: its subroom credential, the client library, image-spec, go-digest, errdefs.
// Must not know: what is done with the bytes: content, layers, platforms, image names on this machine.
//
// # Use
//
//	repo, err := client.Open(ctx, "docker.io/library/debian", nil)
//	defer repo.Close()
//	desc, err := repo.Resolve(ctx, "12")       // a tag, or a digest
//	data, err := repo.Manifest(ctx, desc)      // verified, at most 4 MiB
//	body, err := repo.Blob(ctx, layer, 0)      // goes on by itself after a broken connection
//
// # What is trusted
//
// A tag is what the registry says it is; everything below it is fetched by
// digest. Manifest verifies before it returns; who reads a Blob verifies it
// (content does). Credentials go to the host they belong to and to the token
// server that this host names, over TLS if the host is reached over TLS. A
// redirect to another host gets none, and if that other host answers 401 it
// gets none either. Descriptors with URLs of their own (foreign layers) are
// refused.
//
// Each host may be configured as containerd does it (hosts.toml: mirrors,
// certificates, headers), in Config.HostsDir. Hosts on loopback are tried with
// TLS, then in the clear, as Docker does; so are Config.Insecure.
package registry
