package bridge

import (
	"os"
	"strings"
)

// PassNetfilter says whether packets within a bridge pass the firewall
// (br_netfilter): a published port leads back to the same bridge port then.
func PassNetfilter() bool {
	b, err := os.ReadFile("/proc/sys/net/bridge/bridge-nf-call-iptables")
	return err == nil && strings.TrimSpace(string(b)) == "1"
}
