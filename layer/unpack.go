package layer

import (
	"context"
	"errors"
	"io"
	"os"
)

// Unpack is [Decompress] and [Apply] in one, for a blob as it was distributed.
// The plain tar is written to plain, for its digest. It returns
// [Result.Implicit].
func Unpack(ctx context.Context, dir *os.File, blob io.Reader, plain io.Writer) (implicit []string, err error) {
	tar, _, err := Decompress(blob)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, tar.Close()) }()
	res, err := Apply(ctx, dir, io.TeeReader(tar, plain), Options{})
	return res.Implicit, err
}
