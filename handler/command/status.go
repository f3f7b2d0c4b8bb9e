// caddy romm-oidc status.

package command

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
)

// showStatus prints the state of each gate. It fails if a gate has a problem,
// so that a script can tell by the exit code.
func showStatus(c *cobra.Command, _ []string) error {
	var all []admin.Status
	if err := send(c, call{method: http.MethodGet, path: admin.StatusPath}, &all); err != nil {
		return err
	}
	quiet, well := printed(c, all), true
	for _, s := range all {
		well = well && s.Well()
		if quiet {
			continue
		}
		say(c, "Gate %s", s.Gate)
		say(c, "  health         %s", healthOf(&s))
		say(c, "  public origin  %s", s.Origin)
		say(c, "  issuer         %s, client %s", s.Issuer, s.ClientID)
		say(c, "  provider       %s", providerState(&s))
		say(c, "  storage        %s", storageState(&s))
		if s.KeysError != "" {
			say(c, "  keys           no user can sign in: %s", s.KeysError)
		}
		say(c, "  sessions       %d in memory", s.SessionsInMemory)
		say(c, "  RomM           %s", rommState(&s))
		say(c, "  version        %s, nodes seen: %s", s.Version, strings.Join(s.Nodes, ", "))
		for _, line := range backgroundState(&s) {
			say(c, "  background     %s", line)
		}
	}
	if !well {
		return errors.New("a gate has a problem: see above")
	}
	return nil
}

// healthOf returns what monitors get to know.
func healthOf(s *admin.Status) string {
	health := s.Health()
	codes := make([]string, 0, len(health.Reasons))
	for _, reason := range health.Reasons {
		if !slices.Contains(codes, reason.Code) {
			codes = append(codes, reason.Code)
		}
	}
	if len(codes) == 0 {
		return string(health.Health)
	}
	return string(health.Health) + ": " + strings.Join(codes, ", ")
}

func providerState(s *admin.Status) string {
	read := "metadata read at " + local(s.Provider.MetadataRead)
	switch {
	case s.Provider.Mismatch != "":
		return "does not fit the settings: sign-ins fail: " + s.Provider.Mismatch + "; " + read
	case s.Provider.Error == "":
		return read
	case s.Provider.MetadataRead.IsZero():
		return "does not answer: new sign-ins fail: " + s.Provider.Error
	}
	return "does not answer now: " + s.Provider.Error + "; " + read
}

func storageState(s *admin.Status) string {
	switch {
	case s.StorageError != "":
		return "not writable: new sign-ins fail, sessions in memory continue: " + s.StorageError
	case s.StorageAway:
		return "does not answer; sessions in memory continue"
	}
	return "answers"
}

// backgroundState returns a line for each kind of work that fails or waits.
func backgroundState(s *admin.Status) (lines []string) {
	for _, work := range s.Background {
		line := work.Work
		if work.Error != "" {
			line += " fails since " + local(work.FailingSince) + ": " + work.Error
		}
		if work.Waiting > 0 {
			line += fmt.Sprintf(" (%d waiting)", work.Waiting)
		}
		if line != work.Work {
			lines = append(lines, line)
		}
	}
	if lines == nil {
		lines = []string{"works"}
	}
	return lines
}

func rommState(s *admin.Status) string {
	if s.RomM.Version == "" {
		return "not asked yet"
	}
	return s.RomM.Version + ", seen at " + local(s.RomM.Seen)
}
