package jsonlog

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
)

// ParseOptions checks a request's log driver and options. The drivers are
// json-file, which an empty name means, and none. Class InvalidArgument.
func ParseOptions(driver string, options map[string]string) (Options, error) {
	var o Options
	invalid := func(format string, args ...any) (Options, error) {
		return Options{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
	}
	switch driver {
	case "", "json-file", "none":
	default:
		return invalid("unknown log driver %.80q: use json-file or none", driver)
	}
	for name, value := range options {
		var err error
		switch name {
		case "max-size":
			o.MaxSize, err = units.RAMInBytes(value)
			if err == nil && o.MaxSize < 64<<10 {
				err = errors.New("at least 64k")
			}
		case "max-file":
			o.MaxFiles, err = strconv.Atoi(value)
			if err == nil && (o.MaxFiles < 1 || o.MaxFiles > 1000) {
				err = errors.New("between 1 and 1000")
			}
		default:
			return invalid("unknown log option %.80q: use max-size or max-file", name)
		}
		if err != nil {
			return invalid("log option %s=%.80q: %v", name, value, err)
		}
	}
	return o, nil
}
