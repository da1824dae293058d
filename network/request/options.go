package request

import (
	"net/netip"
	"strconv"
	"strings"

	"berth/network/bridge"
	"berth/network/lan"
	"berth/network/rate"

	"github.com/moby/moby/api/types/network"
)

// The options of a bridge network, as docker's bridge driver names them.
const (
	OptName    = "com.docker.network.bridge.name"
	OptDefault = "com.docker.network.bridge.default_bridge" // only shown
	OptICC     = "com.docker.network.bridge.enable_icc"
	optMasq    = "com.docker.network.bridge.enable_ip_masquerade"
	optBinding = "com.docker.network.bridge.host_binding_ipv4"
	OptMTU     = "com.docker.network.driver.mtu"
)

const (
	defaultMTU = 1500
	minMTU     = 1280 // RFC 8200: with less Linux has no IPv6 on a device
	maxMTU     = 65535
	maxIfName  = 15
)

// Options are what a network's driver and options say.
type Options struct {
	// Iface is the bridge, or the parent.
	Iface string
	// MTU is in bytes; 0 is the parent's.
	MTU uint32
	// ICC: containers reach each other. Masq: they leave with the host's address.
	ICC, Masq bool
	// Bind is where ports are published if nothing is said; not valid: everywhere.
	Bind netip.Addr
	// Rate is of a member that asks for nothing else.
	Rate rate.Limit
	// Lan is for drivers macvlan and ipvlan, nil for a bridge.
	Lan *bridge.Lan
}

// ReadOptions reads those of a network. Class InvalidArgument.
func ReadOptions(rec network.Network) (Options, error) {
	o := Options{MTU: defaultMTU, ICC: true, Masq: true, Iface: "br-" + rec.ID[:12]}
	switch {
	case lan.Is(rec.Driver):
		o.Lan, o.MTU = lan.New(rec.Driver, rec.ID), 0
	case rec.Driver != network.NetworkBridge:
		return o, invalid("network %s: driver %.40q is unknown", rec.Name, rec.Driver)
	}
	for key, value := range rec.Options {
		if err := o.set(key, value); err != nil {
			return o, err
		}
	}
	if o.Lan != nil {
		o.Iface = o.Lan.Parent
	}
	return o, nil
}

func (o *Options) set(key, value string) (err error) {
	if o.Lan != nil && key != OptMTU {
		return lan.Set(o.Lan, key, value, OptMTU)
	}
	switch key {
	case OptName:
		if value == "" || len(value) > maxIfName || strings.ContainsAny(value, "/: \t\n") || strings.HasPrefix(value, ".") {
			return invalid("%s=%.40q: a bridge's name has 1 to %d characters, no slash, colon or space", key, value, maxIfName)
		}
		o.Iface = value
	case OptICC:
		o.ICC, err = strconv.ParseBool(value)
	case optMasq:
		o.Masq, err = strconv.ParseBool(value)
	case optBinding:
		o.Bind, err = netip.ParseAddr(value)
		if err == nil && !o.Bind.Is4() {
			return invalid("%s=%s: it is an IPv4 address", key, value)
		}
		if o.Bind.IsUnspecified() {
			o.Bind = netip.Addr{}
		}
	case OptMTU:
		return o.setMTU(key, value)
	case rate.OptIn, rate.OptOut:
		o.Rate, err = o.Rate.With(map[string]string{key: value})
		if err != nil {
			return invalid("network option %v", err)
		}
	case OptDefault:
	default:
		return invalid("unknown network option %.80q: known are %s", key, strings.Join([]string{OptName, OptICC, optMasq, optBinding, OptMTU, rate.OptIn, rate.OptOut}, ", "))
	}
	if err != nil {
		return invalid("%s=%.80q cannot be read: %v", key, value, err)
	}
	return nil
}

func (o *Options) setMTU(key, value string) error {
	n, err := strconv.ParseUint(value, 10, 32)
	switch {
	case err != nil:
		return invalid("%s=%.80q cannot be read: %v", key, value, err)
	case n == 0:
		return nil
	case n < minMTU || n > maxMTU:
		return invalid("%s=%s: an MTU is %d to %d", key, value, minMTU, maxMTU)
	}
	o.MTU = uint32(n)
	return nil
}
