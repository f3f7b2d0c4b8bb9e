// The randomised test itself.

package nodes

import (
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	standin "github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

var steps = flag.Int("steps", 1000, "how many random steps TestRandomAccounts takes")

// world is the state of the random test beside the cluster.
type world struct {
	*cluster
	dice     dice
	step     int
	browsers []*browser
	tokens   map[string]string // RomM client tokens, by the user who made them
	owner    map[int]string    // who an account was first seen with
	out      map[string]time.Time
	admins   map[string]bool      // by the provider's groups
	changed  map[string]time.Time // when those last changed
	served   int
	trace    []string // the last steps
}

// note remembers what a step did, to be shown if the test fails.
func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%s step %d: ", time.Now().Format("02 15:04:05"), w.step)+fmt.Sprintf(format, args...))
	w.trace = w.trace[max(0, len(w.trace)-60):]
}

var names = []string{"alice", "bob", "carol", "dora"}

// aliases are what users rename themselves to: each other's names among them.
var aliases = []string{"alice", "bob", "carol", "dora", "eve", "root2", "mallory"}

// No request reaches RomM as an account that is not its user's, a user who is
// out does not get in, and no account has a role that no rule gives it,
// whatever users, administrators, nodes and RomM do in which order.
func TestRandomAccounts(t *testing.T) {
	start := firstSeed(t)
	t.Logf("-steps %d", *steps)
	synctest.Test(t, func(t *testing.T) {
		users := make([]authelia.User, len(names))
		for i, name := range names {
			users[i] = authelia.User{Name: name, Password: name + "-password", Email: name + "@example.com", Groups: []string{"users"}}
		}
		w := &world{
			cluster: newCluster(t, users), dice: dice(start), tokens: map[string]string{}, owner: map[int]string{},
			out: map[string]time.Time{}, admins: map[string]bool{}, changed: map[string]time.Time{},
		}
		w.romm.AddUser(standin.User{Username: "root", Email: "root@example.com", Role: "admin", Password: "root-password"})
		for w.step = 0; w.step < *steps && !t.Failed(); w.step++ {
			w.act()
			synctest.Wait()
		}
		t.Logf("%d requests reached RomM as their user's account", w.served)
		if t.Failed() {
			t.Log(strings.Join(w.trace, "\n"))
		}
		for i := range w.nodes {
			w.at(i).end()
		}
	})
}

// act takes one random step.
func (w *world) act() {
	node := w.dice.roll(len(w.nodes))
	switch w.dice.roll(20) {
	case 0, 1, 2, 3, 4, 5:
		w.visit(node)
	case 6, 7:
		w.signIn(node)
	case 8, 9:
		w.changeProfile(node)
	case 10:
		w.useToken(node)
	case 11:
		w.changeProvider()
	case 12:
		w.changeRomM()
	case 13:
		switch w.dice.roll(3) {
		case 0:
			w.note("node %d restarts", node)
			w.restart(node)
		case 1:
			w.note("RomM forgets its sessions")
			w.romm.DropSessions()
		case 2:
			w.romm.Restart()
		}
	case 14:
		if len(w.browsers) > 0 {
			w.any().write(node, http.MethodPost, "/api/logout", "")
		}
	case 15:
		time.Sleep(time.Duration(w.dice.roll(3)) * time.Hour)
	default:
		time.Sleep(time.Duration(w.dice.roll(90)) * time.Second)
	}
	time.Sleep(5 * time.Second) // in which other nodes learn of what happened at this one
}

func (w *world) any() *browser { return w.browsers[w.dice.roll(len(w.browsers))] }

// visit looks whom RomM takes a browser for.
func (w *world) visit(node int) {
	if len(w.browsers) > 0 {
		w.check(w.any(), node)
	}
}

// check fails the test if RomM takes b for anybody but its user.
func (w *world) check(b *browser, node int) {
	me, in := b.whoIs(node)
	w.note("%s at node %d is account %d %s %s, %v", b.user, node, me.ID, me.Username, me.Role, in)
	if !in {
		return
	}
	w.served++
	if owner, known := w.owner[me.ID]; known && owner != b.user {
		w.Errorf("step %d: a browser of %s is RomM's account %d (%s), which is %s's", w.step, b.user, me.ID, me.Username, owner)
	}
	w.owner[me.ID] = b.user
	if since, out := w.out[b.user]; out && time.Since(since) > recheck+time.Minute {
		w.Errorf("step %d: %s was disabled %s ago and is still in", w.step, b.user, time.Since(since))
	}
	if me.Role == "admin" && !w.admins[b.user] && time.Since(w.changed[b.user]) > recheck+time.Minute {
		w.Errorf("step %d: %s is an administrator, and no rule makes them one", w.step, b.user)
	}
}

func (w *world) signIn(node int) {
	b := w.browser()
	if len(w.browsers) >= 8 {
		w.browsers = w.browsers[1:]
	}
	user := names[w.dice.roll(len(names))]
	status, _ := b.signIn(node, user)
	w.note("%s signs in at node %d: %d", user, node, status)
	if status != http.StatusSeeOther {
		return // refusals are fine: the name or the address is taken, the user is out
	}
	if _, out := w.out[user]; out {
		w.Errorf("step %d: %s is disabled and signed in", w.step, user)
	}
	w.browsers = append(w.browsers, b)
	w.check(b, node)
}

// changeProfile has a user rename themselves, or take another address.
func (w *world) changeProfile(node int) {
	if len(w.browsers) == 0 {
		return
	}
	b := w.any()
	me, in := b.whoIs(node)
	if !in {
		return
	}
	if w.tokens[b.user] == "" {
		w.tokens[b.user] = w.romm.NewClientToken(me.Username, "me.read", "me.write")
	}
	id := strconv.Itoa(me.ID) + []string{"", ".0", "/"}[w.dice.roll(3)]
	change := w.change()
	status := b.write(node, http.MethodPut, "/api/users/"+id, change)
	w.note("%s changes account %s at node %d to %s: %d", b.user, id, node, change, status)
}

// change is a random change of a profile.
func (w *world) change() string {
	alias := aliases[w.dice.roll(len(aliases))]
	switch w.dice.roll(3) {
	case 0:
		return url.Values{"username": {alias}}.Encode()
	case 1:
		return url.Values{"email": {alias + "@example.com"}}.Encode()
	}
	return url.Values{"username": {alias}, "email": {aliases[w.dice.roll(len(aliases))] + "@example.com"}}.Encode()
}

// useToken changes a profile with a RomM client token.
func (w *world) useToken(node int) {
	for _, user := range names {
		token := w.tokens[user]
		if token == "" || w.dice.roll(2) == 0 {
			continue
		}
		fields := []string{"Authorization", "Bearer " + token}
		answer, text := w.browser().send(node, http.MethodGet, "/api/users/me", "", fields...)
		since, out := w.out[user]
		if out && answer.StatusCode == http.StatusOK && time.Since(since) > 24*time.Hour+recheck {
			w.Errorf("step %d: a token of %s, who was disabled %s ago, is answered %s", w.step, user, time.Since(since), text)
		}
		var id int
		if _, err := fmt.Sscanf(text, `{"id":%d`, &id); err == nil {
			change := w.change()
			w.note("a token of %s changes account %d at node %d to %s", user, id, node, change)
			w.browser().send(node, http.MethodPut, "/api/users/"+strconv.Itoa(id), change, append(fields, "Content-Type", "application/x-www-form-urlencoded")...)
		}
		return
	}
}

// changeProvider disables or enables a user, or changes their groups.
func (w *world) changeProvider() {
	user := names[w.dice.roll(len(names))]
	switch w.dice.roll(4) {
	case 0:
		w.note("%s is disabled", user)
		w.authelia.DisableUser(user)
		if _, out := w.out[user]; !out {
			w.out[user] = time.Now()
		}
	case 1:
		w.note("%s is enabled", user)
		w.authelia.EnableUser(user)
		delete(w.out, user)
	case 2:
		w.note("%s gets the group admins", user)
		w.authelia.SetGroups(user, "users", "admins")
		w.admins[user], w.changed[user] = true, time.Now()
	case 3:
		w.note("%s loses the group admins", user)
		w.authelia.SetGroups(user, "users")
		w.admins[user], w.changed[user] = false, time.Now()
	}
}

// changeRomM is what an administrator does in RomM past the gate.
func (w *world) changeRomM() {
	all := w.romm.Users()
	u := all[w.dice.roll(len(all))]
	if u.Username == "root" {
		return
	}
	switch w.dice.roll(4) {
	case 0:
		w.note("account %d %s is deleted", u.ID, u.Username)
		w.romm.DeleteUser(u.Username)
		delete(w.owner, u.ID)
		time.Sleep(time.Minute) // as long as a confirmation holds: the gate cannot know of this
	case 1:
		w.note("account %d %s is disabled in RomM", u.ID, u.Username)
		w.romm.Disable(u.Username)
	case 2:
		w.romm.Enable(u.Username)
	case 3:
		name := aliases[w.dice.roll(len(aliases))]
		if _, taken := w.romm.User(name); !taken {
			w.romm.AddUser(standin.User{Username: name, Email: "made-" + strconv.Itoa(w.step) + "@example.com"})
			time.Sleep(time.Minute)
		}
	}
}
