package engine

import (
	"context"
	"io"
	"strings"
	"time"

	"berth/image"
	"berth/registry/credential"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/events"
	mimage "github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
)

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

func tellLayers(tell func(ImageProgress)) func(image.Progress) {
	return func(p image.Progress) {
		id := p.Layer.Encoded()
		tell(ImageProgress{ID: id[:min(len(id), 12)], Status: layerWords(p.Status), Current: p.Current, Total: p.Total})
	}
}

// ImagePull pulls an image and tells its progress.
func (e *Engine) ImagePull(ctx context.Context, o PullOptions, tell func(ImageProgress)) error {
	ref, err := image.ParseReference(o.Ref)
	if err != nil {
		return err
	}
	if ref.Embedded() {
		e.images.RLock()
		defer e.images.RUnlock()
		return e.loadEmbedded(ctx)
	}
	opts := image.PullOptions{Platform: o.Platform, Progress: tellLayers(tell)}
	if a := o.Auth; a != nil && (a.Username != "" || a.IdentityToken != "") {
		opts.Auth = &credential.Credential{Username: a.Username, Secret: a.Password}
		if a.IdentityToken != "" {
			opts.Auth = &credential.Credential{Secret: a.IdentityToken}
		}
	}
	img, err := e.Images.Pull(ctx, ref, opts)
	if err != nil {
		return err
	}
	for _, d := range img.Digests {
		if _, sum, ok := strings.Cut(d, "@"); ok {
			tell(ImageProgress{Status: "Digest: " + sum})
			break
		}
	}
	e.publishImage(events.ActionPull, ref.Familiar())
	return nil
}

// ImageLoad reads an archive and returns the names of what it held.
func (e *Engine) ImageLoad(ctx context.Context, archive io.Reader, tell func(ImageProgress)) ([]string, error) {
	loaded, err := e.Images.Load(ctx, archive, image.LoadOptions{Progress: tellLayers(tell)})
	var names []string
	for _, img := range loaded {
		if len(img.Names) == 0 {
			names = append(names, img.ID.String())
		}
		names = append(names, img.Names...)
		e.publishImage(events.ActionLoad, img.ID.String())
	}
	return names, err
}

// loadEmbedded loads the image inside the binary.
func (e *Engine) loadEmbedded(ctx context.Context) error {
	archive, err := e.Embedded()
	if err != nil {
		return err
	}
	defer archive.Close()
	_, err = e.Images.Load(ctx, archive, image.LoadOptions{})
	return err
}

func (e *Engine) publishImage(action events.Action, name string) {
	e.bus.Publish(events.Message{
		Type: events.ImageEventType, Action: action,
		Actor: events.Actor{ID: name, Attributes: map[string]string{"name": name}},
	})
}

func (e *Engine) imageSize(id string) int64 {
	img, err := e.Images.Get(id)
	if err != nil {
		return 0 // it was removed by force
	}
	return img.Size
}

// ImageList returns the images, newest first.
func (e *Engine) ImageList(_ context.Context, f Filters) ([]mimage.Summary, error) {
	if err := f.check("reference", "label", "dangling", "before", "since"); err != nil {
		return nil, err
	}
	if len(f["before"]) > 0 || len(f["since"]) > 0 {
		return nil, invalid("the filters before and since are not supported for images")
	}
	images, err := e.Images.List()
	if err != nil {
		return nil, err
	}
	using := map[string]int64{}
	for _, c := range e.records.List() {
		using[c.Record().Image]++
	}
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
			if w == n || w == repo || globMatch(w, n) || globMatch(w, repo) {
				return true
			}
		}
	}
	return false
}

// ImageInspect tells everything about an image.
func (e *Engine) ImageInspect(_ context.Context, ref string) (mimage.InspectResponse, error) {
	img, err := e.getImage(ref)
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

// getImage finds an image, in Docker's words if there is none.
func (e *Engine) getImage(ref string) (image.Image, error) {
	img, err := e.Images.Get(ref)
	if err != nil {
		return img, imageError(ref, err)
	}
	return img, nil
}

// ImageHistory lists how an image was made, newest step first.
func (e *Engine) ImageHistory(_ context.Context, ref string) ([]mimage.HistoryResponseItem, error) {
	img, err := e.getImage(ref)
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
			if n, err := e.Snapshots.Size(img.Chain[layer]); err == nil {
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
func (e *Engine) ImageTag(_ context.Context, source, target string) error {
	if err := e.Images.Tag(source, target); err != nil {
		return imageError(source, err)
	}
	e.publishImage(events.ActionTag, target)
	return nil
}

// ImageRemove takes a name away, and the image with its last one.
func (e *Engine) ImageRemove(ctx context.Context, ref string, force bool) ([]mimage.DeleteResponse, error) {
	e.images.Lock()
	defer e.images.Unlock()
	removed, err := e.Images.Remove(ctx, ref, image.RemoveOptions{Force: force, InUse: e.imagesInUse()})
	if err != nil {
		return nil, imageError(ref, err)
	}
	list := []mimage.DeleteResponse{}
	for _, n := range removed.Untagged {
		list = append(list, mimage.DeleteResponse{Untagged: n})
		e.publishImage(events.ActionUnTag, n)
	}
	if removed.Deleted != "" {
		list = append(list, mimage.DeleteResponse{Deleted: removed.Deleted.String()})
		e.publishImage(events.ActionDelete, removed.Deleted.String())
	}
	return list, nil
}

// imagesInUse says which image ids and chain ids containers need. Call it with
// images held for writing, so that no container is being created.
func (e *Engine) imagesInUse() func(digest.Digest) bool {
	used := map[digest.Digest]bool{}
	for _, c := range e.records.List() {
		rec := c.Record()
		used[digest.Digest(rec.Image)] = true
		for _, l := range rec.Layers {
			used[digest.Digest(l)] = true
		}
	}
	return func(d digest.Digest) bool { return used[d] }
}

// ImagePrune removes images without a name, or with dangling=false all that no
// container uses.
func (e *Engine) ImagePrune(ctx context.Context, f Filters) (mimage.PruneReport, error) {
	report := mimage.PruneReport{ImagesDeleted: []mimage.DeleteResponse{}}
	if err := f.check("dangling", "label", "until"); err != nil {
		return report, err
	}
	before, err := f.until()
	if err != nil {
		return report, err
	}
	e.images.Lock()
	defer e.images.Unlock()
	images, err := e.Images.List()
	if err != nil {
		return report, err
	}
	inUse := e.imagesInUse()
	onlyDangling := f.Match("dangling", "true", "1")
	for _, img := range images {
		if inUse(img.ID) || onlyDangling && len(img.Names) > 0 || !f.MatchLabels(img.Config.Config.Labels) ||
			!before.IsZero() && created(img).After(before) {
			continue
		}
		removed, err := e.Images.Remove(ctx, img.ID.String(), image.RemoveOptions{Force: true, InUse: inUse})
		if err != nil {
			return report, err
		}
		for _, n := range removed.Untagged {
			report.ImagesDeleted = append(report.ImagesDeleted, mimage.DeleteResponse{Untagged: n})
		}
		report.ImagesDeleted = append(report.ImagesDeleted, mimage.DeleteResponse{Deleted: img.ID.String()})
		report.SpaceReclaimed += uint64(max(img.Size, 0))
	}
	_, err = e.Images.Sweep(ctx, inUse)
	return report, err
}
