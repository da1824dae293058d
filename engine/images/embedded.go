package images

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"

	"berth/image"

	"github.com/opencontainers/go-digest"
)

// loadEmbedded loads the image inside the binary.
func (s *Store) loadEmbedded(ctx context.Context) error {
	archive, err := s.c.Embedded()
	if err != nil {
		return err
	}
	defer archive.Close()
	_, err = s.c.Images.Load(ctx, archive, image.LoadOptions{})
	return err
}

// current says whether an image that goes by the embedded one's name is it, and
// not that of an older berthd. A build without the image takes what is there.
func (s *Store) current(img image.Image) bool {
	id, err := s.embedded()
	return err != nil || img.ID.String() == id
}

// embeddedID reads the id of the image inside the binary from docker's
// manifest.json, which stands before the blobs.
func embeddedID(open func() (io.ReadCloser, error)) (string, error) {
	archive, err := open()
	if err != nil {
		return "", err
	}
	defer archive.Close()
	for files := tar.NewReader(archive); ; {
		h, err := files.Next()
		if err != nil {
			return "", fmt.Errorf("read the embedded image: %w", err)
		}
		if h.Name != "manifest.json" {
			continue
		}
		var list []struct{ Config string }
		if err := json.NewDecoder(files).Decode(&list); err != nil {
			return "", fmt.Errorf("read the embedded image: its manifest.json: %w", err)
		}
		if len(list) != 1 {
			return "", fmt.Errorf("read the embedded image: its manifest.json names %d images, not one", len(list))
		}
		return digest.NewDigestFromEncoded(digest.SHA256, path.Base(list[0].Config)).String(), nil
	}
}
