package image

import (
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// Status says what happens to a layer.
type Status string

// The life of a layer during a pull or load. Exists and Done are last words.
const (
	StatusWaiting     Status = "waiting"
	StatusExists      Status = "exists"
	StatusDownloading Status = "downloading"
	StatusDownloaded  Status = "downloaded"
	StatusUnpacking   Status = "unpacking"
	StatusDone        Status = "done"
)

// Progress tells what happens to one layer.
type Progress struct {
	// Layer is the digest of the layer's blob.
	Layer  digest.Digest
	Status Status
	// Current and Total count bytes of the blob while downloading and
	// unpacking; else they are zero.
	Current, Total int64
}

// progressInterval is how often one layer tells its bytes.
const progressInterval = 100 * time.Millisecond

// reporter calls the caller's function from one goroutine at a time.
type reporter struct {
	mu sync.Mutex
	f  func(Progress) // nil: nobody listens
}

func (r *reporter) tell(p Progress) {
	if r.f == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.f(p)
}

// counter returns an io.Writer-like function that counts n more bytes of a
// layer and tells it now and then.
func (r *reporter) counter(layer digest.Digest, status Status, from, total int64) func(n int) {
	var last time.Time
	return func(n int) {
		from += int64(n)
		if now := time.Now(); from == total || now.Sub(last) >= progressInterval {
			last = now
			r.tell(Progress{Layer: layer, Status: status, Current: from, Total: total})
		}
	}
}
