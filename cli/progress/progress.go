package progress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"berth/cli/client"
	"berth/cli/command"

	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/client/pkg/jsonmessage"
)

// Pull pulls an image and shows bars on a terminal, lines elsewhere. A nil out
// shows nothing.
func Pull(ctx context.Context, api *client.Client, image, platform string, out io.Writer) error {
	q := url.Values{"fromImage": {withTag(image)}}
	if platform != "" {
		q.Set("platform", platform)
	}
	if f := loginFile(); f != "" {
		q.Set("berthLoginFile", f)
	}
	a, err := api.Stream(ctx, "POST", "/images/create", q, nil)
	if err != nil {
		return err
	}
	defer a.Close()
	return Show(a, out)
}

// loginFile is this user's config.json, in which docker login keeps what it
// knows; "" if there is none. berthd reads it: its own environment is another.
func loginFile() string {
	dir := os.Getenv("DOCKER_CONFIG")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(home, ".docker")
	}
	f, err := filepath.Abs(filepath.Join(dir, "config.json"))
	if err != nil {
		return ""
	}
	if _, err := os.Stat(f); err != nil {
		return ""
	}
	return f
}

// withTag adds docker's default tag.
func withTag(image string) string {
	name := image[strings.LastIndexByte(image, '/')+1:]
	if strings.ContainsAny(name, ":@") {
		return image
	}
	return image + ":latest"
}

// Show displays a stream of progress messages until its end. An error among them
// is returned.
func Show(in io.Reader, out io.Writer) error {
	if out == nil {
		out = io.Discard
	}
	var fd uintptr
	f := command.Terminal(out)
	if f != nil {
		fd = f.Fd()
	}
	err := jsonmessage.DisplayJSONMessagesStream(in, out, fd, f != nil, nil)
	var failed *jsonstream.Error
	if errors.As(err, &failed) {
		return errors.New(failed.Message)
	}
	if err != nil {
		return fmt.Errorf("read the progress: %w", err)
	}
	return nil
}
