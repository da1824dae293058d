// Package images is the engine's verbs over images: the words of Docker's API
// around the image store.
//
// Level: L3, a subroom of engine.
// Owns: when images may be deleted; the embedded image's first use.
// May import: image, snapshot, events, engine/filter.
// Must not know: containers, but for the question which images they use.
package images

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"berth/engine/filter"
	"berth/events"
	"berth/image"
	"berth/registry/credential"
	"berth/snapshot"

	"github.com/containerd/errdefs"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	mevents "github.com/moby/moby/api/types/events"
	mimage "github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/registry"
	"github.com/opencontainers/go-digest"
)

// Store is the image store with what its verbs need beside it. Its methods are
// the engine's.
type Store struct {
	c Config
	// use is held for reading while an image becomes a container's and for
	// writing while images or layers are deleted. It comes after a container's
	// verb lock and before all others.
	use sync.RWMutex
	// embedded is the id of the image inside the binary.
	embedded func() (string, error)
}

// Config is what the verbs need.
type Config struct {
	Images    *image.Store
	Snapshots snapshot.Snapshotter
	Bus       *events.Bus
	// Embedded opens the archive of the image inside the binary.
	Embedded func() (io.ReadCloser, error)
	// InUse says which image ids and chain ids containers need.
	InUse func() func(digest.Digest) bool
	// Using counts the containers of each image id.
	Using func() map[string]int64
}

// New returns the verbs over images.
func New(c Config) *Store {
	return &Store{c: c, embedded: sync.OnceValues(func() (string, error) { return embeddedID(c.Embedded) })}
}

// Hold keeps all images from being deleted until release.
func (s *Store) Hold() (release func()) {
	s.use.RLock()
	return s.use.RUnlock
}

// Find finds an image by name or id and loads the embedded one on demand. One of
// another platform than asked for ("os/arch[/variant]", empty: any) is not found.
// Call it while images are held.
func (s *Store) Find(ctx context.Context, ref, platform string) (image.Image, error) {
	img, err := s.find(ctx, ref)
	if err != nil || platform == "" {
		return img, err
	}
	have := img.Config.OS + "/" + img.Config.Architecture
	if full := have + "/" + img.Config.Variant; platform != have && platform != full {
		return image.Image{}, errdefs.ErrNotFound.WithMessage(fmt.Sprintf(
			"image %s is here for %s, not for %.40s: pull it with --platform %.40s", ref, have, platform, platform))
	}
	return img, nil
}

func (s *Store) find(ctx context.Context, ref string) (image.Image, error) {
	img, err := s.c.Images.Get(ref)
	if err != nil && !errdefs.IsNotFound(err) {
		return img, err
	}
	if parsed, perr := image.ParseReference(ref); perr == nil && parsed.Embedded() {
		if err == nil && s.current(img) {
			return img, nil
		}
		if err := s.loadEmbedded(ctx); err != nil {
			return image.Image{}, err
		}
		img, err = s.c.Images.Get(ref)
	}
	return img, explain(ref, err)
}

// explain uses Docker's words for an image that is not there: its client then
// pulls.
func explain(ref string, err error) error {
	if errdefs.IsNotFound(err) {
		return errdefs.ErrNotFound.WithMessage("No such image: " + ref[:min(len(ref), 200)])
	}
	return err
}

// PullOptions say what to pull.
type PullOptions struct {
	Ref, Platform string
	// Auth is the user's login; nil: what LoginFile says.
	Auth *registry.AuthConfig
	// LoginFile is docker's config.json of the user who asks. With "", or if it
	// has no login for the registry, the daemon's own counts.
	LoginFile string
}

// login is the user's for ref, nil if there is none.
func (o PullOptions) login(ctx context.Context, ref image.Reference) (*credential.Credential, error) {
	switch a := o.Auth; {
	case a != nil && a.IdentityToken != "":
		return &credential.Credential{Secret: a.IdentityToken}, nil
	case a != nil && a.Username != "":
		return &credential.Credential{Username: a.Username, Secret: a.Password}, nil
	case o.LoginFile == "":
		return nil, nil
	}
	f, err := credential.Load(o.LoginFile)
	if err != nil {
		return nil, err
	}
	c, err := f.Get(ctx, ref.Domain(), strings.TrimPrefix(ref.Repository(), ref.Domain()+"/"))
	if err != nil || c == (credential.Credential{}) {
		return nil, err
	}
	return &c, nil
}

// Progress is one line of a progress display.
type Progress struct {
	// ID is a layer's short digest, or empty.
	ID             string
	Status         string
	Current, Total int64
}

// layerWords are the words of Docker's progress display.
func layerWords(s image.Status) string {
	switch s {
	case image.StatusWaiting:
		return "Waiting"
	case image.StatusExists:
		return "Already exists"
	case image.StatusDownloading:
		return "Downloading"
	case image.StatusDownloaded:
		return "Download complete"
	case image.StatusUnpacking:
		return "Extracting"
	case image.StatusDone:
		return "Pull complete"
	}
	return string(s)
}

func tellLayers(tell func(Progress)) func(image.Progress) {
	return func(p image.Progress) {
		id := p.Layer.Encoded()
		tell(Progress{ID: id[:min(len(id), 12)], Status: layerWords(p.Status), Current: p.Current, Total: p.Total})
	}
}

// ImagePull pulls an image and tells its progress.
func (s *Store) ImagePull(ctx context.Context, o PullOptions, tell func(Progress)) error {
	ref, err := image.ParseReference(o.Ref)
	if err != nil {
		return err
	}
	if ref.Embedded() {
		s.use.RLock()
		defer s.use.RUnlock()
		return s.loadEmbedded(ctx)
	}
	auth, err := o.login(ctx, ref)
	if err != nil {
		return err
	}
	opts := image.PullOptions{Platform: o.Platform, Progress: tellLayers(tell), Auth: auth}
	img, err := s.c.Images.Pull(ctx, ref, opts)
	if err != nil {
		return err
	}
	for _, d := range img.Digests {
		if _, sum, ok := strings.Cut(d, "@"); ok {
			tell(Progress{Status: "Digest: " + sum})
			break
		}
	}
	s.publish(mevents.ActionPull, ref.Familiar())
	return nil
}

// ImageLoad reads an archive and returns the names of what it held.
func (s *Store) ImageLoad(ctx context.Context, archive io.Reader, tell func(Progress)) ([]string, error) {
	loaded, err := s.c.Images.Load(ctx, archive, image.LoadOptions{Progress: tellLayers(tell)})
	var names []string
	for _, img := range loaded {
		if len(img.Names) == 0 {
			names = append(names, img.ID.String())
		}
		names = append(names, img.Names...)
		s.publish(mevents.ActionLoad, img.ID.String())
	}
	return names, err
}

func (s *Store) publish(action mevents.Action, name string) {
	s.c.Bus.Publish(mevents.Message{
		Type: mevents.ImageEventType, Action: action,
		Actor: mevents.Actor{ID: name, Attributes: map[string]string{"name": name}},
	})
}

// Size is the space an image takes; 0 if it is gone.
func (s *Store) Size(id string) int64 {
	img, err := s.c.Images.Get(id)
	if err != nil {
		return 0 // it was removed by force
	}
	return img.Size
}

// ImageList returns the images, newest first.
func (s *Store) ImageList(_ context.Context, f filter.Set) ([]mimage.Summary, error) {
	if err := f.Check("reference", "label", "dangling", "before", "since"); err != nil {
		return nil, err
	}
	if len(f["before"]) > 0 || len(f["since"]) > 0 {
		return nil, errdefs.ErrInvalidArgument.WithMessage("the filters before and since are not supported for images")
	}
	images, err := s.c.Images.List()
	if err != nil {
		return nil, err
	}
	using := s.c.Using()
	list := []mimage.Summary{}
	for _, img := range images {
		dangling := "false"
		if len(img.Names) == 0 {
			dangling = "true"
		}
		if !f.Match("dangling", dangling) || !f.MatchLabels(img.Config.Config.Labels) || !matchReference(f["reference"], img.Names) {
			continue
		}
		list = append(list, mimage.Summary{
			ID: img.ID.String(), RepoTags: orEmpty(img.Names), RepoDigests: orEmpty(img.Digests),
			Created: created(img).Unix(), Labels: img.Config.Config.Labels,
			Size: img.Size, SharedSize: -1, Containers: using[img.ID.String()],
		})
	}
	return list, nil
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func created(img image.Image) time.Time {
	if img.Config.Created == nil {
		return time.Unix(0, 0).UTC()
	}
	return *img.Config.Created
}

// matchReference matches names as users write them, with or without the tag.
func matchReference(want, names []string) bool {
	if len(want) == 0 {
		return true
	}
	for _, w := range want {
		for _, n := range names {
			repo := n[:max(strings.LastIndex(n, ":"), 0)]
			if w == n || w == repo || filter.Glob(w, n) || filter.Glob(w, repo) {
				return true
			}
		}
	}
	return false
}

// ImageInspect tells everything about an image.
func (s *Store) ImageInspect(_ context.Context, ref string) (mimage.InspectResponse, error) {
	img, err := s.get(ref)
	if err != nil {
		return mimage.InspectResponse{}, err
	}
	c := img.Config
	info := mimage.InspectResponse{
		ID: img.ID.String(), RepoTags: orEmpty(img.Names), RepoDigests: orEmpty(img.Digests),
		Created: created(img).Format(time.RFC3339Nano), Author: c.Author,
		Architecture: c.Architecture, Variant: c.Variant, Os: c.OS, OsVersion: c.OSVersion,
		Size:       img.Size,
		RootFS:     mimage.RootFS{Type: "layers"},
		Config:     &dockerspec.DockerOCIImageConfig{ImageConfig: c.Config},
		Descriptor: &img.Manifest,
	}
	for _, d := range c.RootFS.DiffIDs {
		info.RootFS.Layers = append(info.RootFS.Layers, d.String())
	}
	return info, nil
}

// get finds an image, in Docker's words if there is none.
func (s *Store) get(ref string) (image.Image, error) {
	img, err := s.c.Images.Get(ref)
	if err != nil {
		return img, explain(ref, err)
	}
	return img, nil
}

// ImageHistory lists how an image was made, newest step first.
func (s *Store) ImageHistory(_ context.Context, ref string) ([]mimage.HistoryResponseItem, error) {
	img, err := s.get(ref)
	if err != nil {
		return nil, err
	}
	items := []mimage.HistoryResponseItem{}
	layer := 0
	for _, h := range img.Config.History {
		item := mimage.HistoryResponseItem{ID: "<missing>", CreatedBy: h.CreatedBy, Comment: h.Comment}
		if h.Created != nil {
			item.Created = h.Created.Unix()
		}
		if !h.EmptyLayer && layer < len(img.Chain) {
			if n, err := s.c.Snapshots.Size(img.Chain[layer]); err == nil {
				item.Size = n
			}
			layer++
		}
		items = append([]mimage.HistoryResponseItem{item}, items...)
	}
	if len(items) > 0 {
		items[0].ID, items[0].Tags = img.ID.String(), img.Names
	}
	return items, nil
}

// ImageTag gives an image another name.
func (s *Store) ImageTag(_ context.Context, source, target string) error {
	if ref, err := image.ParseReference(target); err == nil && ref.Embedded() {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s is the name of the image inside berth: choose another", target))
	}
	if err := s.c.Images.Tag(source, target); err != nil {
		return explain(source, err)
	}
	s.publish(mevents.ActionTag, target)
	return nil
}

// ImageRemove takes a name away, and the image with its last one.
func (s *Store) ImageRemove(ctx context.Context, ref string, force bool) ([]mimage.DeleteResponse, error) {
	s.use.Lock()
	defer s.use.Unlock()
	removed, err := s.c.Images.Remove(ctx, ref, image.RemoveOptions{Force: force, InUse: s.c.InUse()})
	if err != nil {
		return nil, explain(ref, err)
	}
	list := []mimage.DeleteResponse{}
	for _, n := range removed.Untagged {
		list = append(list, mimage.DeleteResponse{Untagged: n})
		s.publish(mevents.ActionUnTag, n)
	}
	if removed.Deleted != "" {
		list = append(list, mimage.DeleteResponse{Deleted: removed.Deleted.String()})
		s.publish(mevents.ActionDelete, removed.Deleted.String())
	}
	return list, nil
}

// ContainerGone deletes what only a container still needed of an image that was
// removed by force.
func (s *Store) ContainerGone(ctx context.Context, imageID string) error {
	if _, err := s.c.Images.Get(imageID); !errdefs.IsNotFound(err) {
		return err
	}
	s.use.Lock()
	defer s.use.Unlock()
	_, err := s.c.Images.Sweep(ctx, s.c.InUse())
	return err
}

// ImagePrune removes images without a name, or with dangling=false all that no
// container uses.
func (s *Store) ImagePrune(ctx context.Context, f filter.Set) (mimage.PruneReport, error) {
	report := mimage.PruneReport{ImagesDeleted: []mimage.DeleteResponse{}}
	if err := f.Check("dangling", "label", "until"); err != nil {
		return report, err
	}
	before, err := f.Until()
	if err != nil {
		return report, err
	}
	s.use.Lock()
	defer s.use.Unlock()
	images, err := s.c.Images.List()
	if err != nil {
		return report, err
	}
	inUse := s.c.InUse()
	onlyDangling := f.Match("dangling", "true", "1")
	for _, img := range images {
		if inUse(img.ID) || onlyDangling && len(img.Names) > 0 || !f.MatchLabels(img.Config.Config.Labels) ||
			!before.IsZero() && created(img).After(before) {
			continue
		}
		removed, err := s.c.Images.Remove(ctx, img.ID.String(), image.RemoveOptions{Force: true, InUse: inUse})
		if err != nil {
			return report, err
		}
		for _, n := range removed.Untagged {
			report.ImagesDeleted = append(report.ImagesDeleted, mimage.DeleteResponse{Untagged: n})
		}
		report.ImagesDeleted = append(report.ImagesDeleted, mimage.DeleteResponse{Deleted: img.ID.String()})
		report.SpaceReclaimed += uint64(max(img.Size, 0))
	}
	_, err = s.c.Images.Sweep(ctx, inUse)
	return report, err
}
