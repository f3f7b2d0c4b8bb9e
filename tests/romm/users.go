// RomM's database of users and devices, and the changes that a test makes to it.

package romm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// The names of RomM's roles. In 5.0 user replaced editor and viewer.
const (
	roleAdmin  = "admin"
	roleEditor = "editor"
)

var errUserExists = errors.New("user exists")

// User is an account of RomM. Without a Password it is like an account that OpenID
// Connect created: every attempt to sign in to it with a password is a 500, and
// after 5.2 a refusal.
type User struct {
	ID        int
	Username  string
	Email     string
	Password  string
	Role      string
	Disabled  bool
	Created   time.Time
	LastLogin time.Time
	// UISettings is a JSON object of any size, or "". RomM has it from 4.6.
	UISettings string
}

// Device is a browser or handheld that RomM remembers for a user.
type Device struct {
	ID       string
	User     string
	Name     string
	Host     string
	Platform string
}

// accounts is the part of RomM's database that the stand-in needs.
type accounts struct {
	mu      sync.Mutex
	last    int
	users   []User
	devices []Device
}

// find returns the first match in the order of creation, as RomM's queries do.
func (a *accounts) find(match func(User) bool) (User, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := slices.IndexFunc(a.users, match); i >= 0 {
		return a.users[i], true
	}
	return User{}, false
}

func (a *accounts) byName(name string) (User, bool) { return a.find(named(name)) }

func (a *accounts) byEmail(email string) (User, bool) {
	return a.find(func(u User) bool { return strings.EqualFold(u.Email, email) })
}

func (a *accounts) byID(id int) (User, bool) {
	return a.find(func(u User) bool { return u.ID == id })
}

func (a *accounts) hasAdmin() bool {
	_, found := a.find(func(u User) bool { return u.Role == roleAdmin })
	return found
}

func (a *accounts) admins() int {
	count := 0
	for _, u := range a.all() {
		if u.Role == roleAdmin {
			count++
		}
	}
	return count
}

func (a *accounts) all() []User {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.users)
}

// add adds a user. It returns errUserExists where a unique column would fail.
func (a *accounts) add(u User) (User, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if slices.ContainsFunc(a.users, clashing(u)) {
		return User{}, errUserExists
	}
	a.last++
	u.ID = a.last
	a.users = append(a.users, u)
	return u, nil
}

func (a *accounts) update(id int, change func(*User)) (User, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.users, func(u User) bool { return u.ID == id })
	if i < 0 {
		return User{}, fmt.Errorf("no user %d", id)
	}
	changed := a.users[i]
	change(&changed)
	for j, other := range a.users {
		if j != i && clashing(changed)(other) {
			return User{}, errUserExists
		}
	}
	a.users[i] = changed
	return changed, nil
}

func (a *accounts) remove(id int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.users = slices.DeleteFunc(a.users, func(u User) bool { return u.ID == id })
}

// webDevice returns the id of the user's browser at the address, which it creates
// if needed.
func (a *accounts) webDevice(u User, host, name string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range a.devices {
		if d.User == u.Username && d.Host == host && d.Platform == "web" {
			return d.ID
		}
	}
	d := Device{ID: uuid4(), User: u.Username, Name: name, Host: host, Platform: "web"}
	a.devices = append(a.devices, d)
	return d.ID
}

func named(name string) func(User) bool {
	return func(u User) bool { return strings.EqualFold(u.Username, name) }
}

func clashing(with User) func(User) bool {
	return func(u User) bool {
		return u.ID != with.ID && (strings.EqualFold(u.Username, with.Username) ||
			with.Email != "" && u.Email == with.Email)
	}
}

// AddUser creates an account and returns it with its ID. The default role is the
// lowest. It panics if the name or the email address is taken.
func (s *Server) AddUser(u User) User {
	if u.Role == "" {
		u.Role = s.version.lowestRole()
	}
	u.ID, u.Created = 0, s.options.Now()
	added, err := s.accounts.add(u)
	if err != nil {
		panic(fmt.Sprintf("romm: adding user %q: %v", u.Username, err))
	}
	return added
}

// ResetDatabase empties the database. IDs begin again at 1.
func (s *Server) ResetDatabase() {
	s.accounts.mu.Lock()
	defer s.accounts.mu.Unlock()
	s.accounts.last, s.accounts.users, s.accounts.devices = 0, nil, nil
}

// User returns the account with the name, in any case.
func (s *Server) User(name string) (User, bool) { return s.accounts.byName(name) }

// Users returns all accounts in the order of their creation.
func (s *Server) Users() []User { return s.accounts.all() }

// Devices returns the devices that sign-ins and pairing created for a user.
func (s *Server) Devices(user string) []Device {
	s.accounts.mu.Lock()
	defer s.accounts.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.accounts.devices), func(d Device) bool {
		return !strings.EqualFold(d.User, user)
	})
}

// SetRole changes a role, effective with the user's next request. All sockets
// receive permissions:changed.
func (s *Server) SetRole(name, role string) {
	s.change(name, func(u *User) { u.Role = role })
	s.sockets.broadcast(mainSockets, "permissions:changed", map[string]any{})
}

// Disable disables an account. Its sessions end at their next use. Its sockets stay
// open.
func (s *Server) Disable(name string) { s.change(name, func(u *User) { u.Disabled = true }) }

// Enable enables an account. Cleared sessions do not come back.
func (s *Server) Enable(name string) { s.change(name, func(u *User) { u.Disabled = false }) }

// Rename renames an account. Its sessions end at their next use.
func (s *Server) Rename(name, to string) { s.change(name, func(u *User) { u.Username = to }) }

// SetEmail changes the address by which OpenID Connect finds the account.
func (s *Server) SetEmail(name, email string) { s.change(name, func(u *User) { u.Email = email }) }

// SetPassword changes a password as an administrator would. Sessions live on.
func (s *Server) SetPassword(name, password string) {
	s.change(name, func(u *User) { u.Password = password })
}

// DeleteUser deletes an account. As in RomM, a new account with the same name
// revives its sessions.
func (s *Server) DeleteUser(name string) {
	if u, ok := s.accounts.byName(name); ok {
		s.accounts.remove(u.ID)
	}
}

func (s *Server) change(name string, change func(*User)) {
	u, ok := s.accounts.byName(name)
	if !ok {
		panic(fmt.Sprintf("romm: no user %q", name))
	}
	if _, err := s.accounts.update(u.ID, change); err != nil {
		panic(fmt.Sprintf("romm: changing user %q: %v", name, err))
	}
}
