package container

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Words of the sea for containers without a name: a berth has ships.
const (
	adjectives = `able amber bold brave breezy bright brisk calm clear coastal crisp deep eager early fair fast fine fleet
gentle glad golden grand happy hardy high idle jolly keen kind lively lucky merry mighty misty nimble noble northern
pacific patient proud quick quiet ready royal salty sandy serene sharp silver sleek smart snug solid southern spry
stately steady stout sturdy sunny swift tidal tidy trim true upright vast warm western wide windy wise witty young`
	nouns = `albatross anchor barge barque beacon bight boom bosun bow brig buoy canoe capstan caravel catamaran clipper
coble compass coracle corvette crane cutter dhow dinghy dock dory dow ferry fjord frigate galleon galley gannet gull
hatch haven helm heron hull jetty junk kayak keel ketch lagoon launch lighter lugger mast mole narwhal oar orca osprey
otter packet pelican petrel pier pilot pinnace plover porpoise prow puffin punt quay raft reef rudder schooner scow
sextant shoal shore skiff sloop smack sound spar squid steamer stern strait tanker tern tide tiller trawler tug turtle
wharf whale wherry winch xebec yacht yawl`
)

// randomName returns adjective_noun, with a number after some tries.
func randomName(try int) string {
	a, n := strings.Fields(adjectives), strings.Fields(nouns)
	name := a[rand.IntN(len(a))] + "_" + n[rand.IntN(len(n))]
	if try > 4 {
		name += fmt.Sprint(rand.IntN(10 * try * try))
	}
	return name
}
