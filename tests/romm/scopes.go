// The scopes that each role grants, by release.

package romm

import "slices"

// scopesOf returns a user's scopes: all of them for an administrator, and for
// other users those of the role or, from 5.0, of the default group.
func (s *Server) scopesOf(u User) []string {
	switch {
	case u.Role == roleAdmin:
		return s.known(append(editorScopes(), "users.read", "users.write", "tasks.run", "logs.read"))
	case u.Role == roleEditor:
		return s.known(editorScopes())
	case s.options.Kiosk && !s.version.twoRoles():
		return s.known(readScopes())
	default:
		return s.known(append(readScopes(), writeScopes()...))
	}
}

func readScopes() []string {
	return []string{
		"me.read", "roms.read", "platforms.read", "assets.read", "devices.read", "firmware.read",
		"roms.user.read", "collections.read", "playlists.read",
	}
}

func writeScopes() []string {
	return []string{
		"me.write", "assets.write", "devices.write", "roms.user.write", "collections.write", "playlists.write",
	}
}

func editorScopes() []string {
	all := append(readScopes(), writeScopes()...)
	return append(all, "roms.write", "platforms.write", "firmware.write")
}

// known removes the scopes of later releases.
func (s *Server) known(scopes []string) []string {
	return slices.DeleteFunc(scopes, func(scope string) bool {
		switch scope {
		case "devices.read", "devices.write":
			return !s.version.atLeast(4, 7, 0)
		case "logs.read":
			return !s.version.atLeast(5, 0, 0)
		case "playlists.read", "playlists.write":
			return !s.version.atLeast(5, 1, 0)
		}
		return false
	})
}

func intersect(a, b []string) []string {
	both := make([]string, 0, len(a))
	for _, scope := range a {
		if slices.Contains(b, scope) {
			both = append(both, scope)
		}
	}
	return both
}
