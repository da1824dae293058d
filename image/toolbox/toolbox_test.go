package toolbox

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

// archive reads the embedded archive's files. make builds it before it runs
// the tests; a bare go test may have none.
func archive(t *testing.T) map[string][]byte {
	t.Helper()
	f, err := Open()
	if errors.Is(err, ErrNotBuilt) && os.Getenv("BERTH_TEST_ROOT") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return untar(t, f)
}

func untar(t *testing.T, r io.Reader) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBlobsHaveTheirDigests(t *testing.T) {
	for name, b := range archive(t) {
		want, isBlob := strings.CutPrefix(name, "blobs/sha256/")
		if !isBlob || want == "" {
			continue
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != want {
			t.Errorf("blob %s has the digest %x", want, sum)
		}
	}
}

func TestImageIsBothLayoutAndDockerArchive(t *testing.T) {
	files := archive(t)
	var docker []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(files["manifest.json"], &docker); err != nil {
		t.Fatalf("manifest.json: %v", err)
	}
	if len(docker) != 1 || len(docker[0].RepoTags) != 1 || docker[0].RepoTags[0] != Name {
		t.Fatalf("manifest.json: %+v, want one image called %s", docker, Name)
	}
	var index struct{ Manifests []struct{ Digest string } }
	if err := json.Unmarshal(files["index.json"], &index); err != nil || len(index.Manifests) != 1 {
		t.Fatalf("index.json: %v, %d manifests, want 1", err, len(index.Manifests))
	}
	var manifest struct{ Config, Layer struct{ Digest string } }
	blob := "blobs/sha256/" + strings.TrimPrefix(index.Manifests[0].Digest, "sha256:")
	if err := json.Unmarshal(files[blob], &manifest); err != nil {
		t.Fatalf("manifest: %v", err)
	}
	if got := "blobs/sha256/" + strings.TrimPrefix(manifest.Config.Digest, "sha256:"); got != docker[0].Config {
		t.Errorf("the layout's config is %s, the docker archive's %s", got, docker[0].Config)
	}
	if _, ok := files["oci-layout"]; !ok {
		t.Error("no oci-layout")
	}
}

func TestLayerHoldsTheCommands(t *testing.T) {
	files := archive(t)
	var docker []struct {
		Config string
		Layers []string
	}
	if err := json.Unmarshal(files["manifest.json"], &docker); err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(strings.NewReader(string(files[docker[0].Layers[0]])))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	layer := untar(t, io.TeeReader(z, sum))
	if _, err := io.Copy(sum, z); err != nil {
		t.Fatal(err)
	}
	if config := string(files[docker[0].Config]); !strings.Contains(config, hex.EncodeToString(sum.Sum(nil))) {
		t.Errorf("config %s lacks the layer's diff id sha256:%x", config, sum.Sum(nil))
	}
	for _, c := range strings.Fields("sh ps ls cat id mount ip hostname wget echo true sleep head grep env stty touch rm mkdir df dd kill mknod ln chmod wc sort tail uname date ping") {
		if _, ok := layer["bin/"+c]; !ok {
			t.Errorf("no bin/%s in the layer", c)
		}
	}
	for _, d := range strings.Fields("tmp/ root/ proc/ sys/ dev/ etc/passwd etc/group") {
		if _, ok := layer[d]; !ok {
			t.Errorf("no %s in the layer", d)
		}
	}
}
