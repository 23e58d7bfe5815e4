package cmd

import (
	"context"
	"fmt"
	"strings"
	"time"

	"peer/node/control"
	"peer/node/control/pb"
)

type inviteCmd struct {
	Expires  time.Duration `help:"How long it is good for." default:"24h" placeholder:"TIME"`
	Uses     uint32        `help:"For how many guests." default:"1" placeholder:"N"`
	For      string        `help:"What you call the guest: their key gets this petname." placeholder:"NAME"`
	List     bool          `help:"List the invitations instead."`
	Withdraw string        `help:"End this invitation instead. Who came by it stays." placeholder:"ID"`
	JSON     bool          `name:"json" help:"Print JSON."`
}

// invitationJSON is how an invitation is printed with --json.
type invitationJSON struct {
	ID      string    `json:"id"`
	Token   string    `json:"token,omitempty"` // once, when it is written
	Addrs   []string  `json:"addrs,omitempty"`
	Expires time.Time `json:"expires"`
	Uses    uint32    `json:"uses"`
	For     string    `json:"for,omitempty"`
	Guests  []string  `json:"guests"`
}

func invitationOf(i *pb.Invitation) invitationJSON {
	return invitationJSON{
		ID: i.GetId(), Expires: time.UnixMilli(i.GetExpiresUnixMs()), Uses: i.GetUses(), For: i.GetPetname(),
		Guests: append([]string{}, i.GetGuests()...),
	}
}

// Run has the node of this home write an invitation.
func (c *inviteCmd) Run(ctx context.Context, a *app) error {
	return a.call(ctx, callTimeout, func(ctx context.Context, node *control.Client) error {
		switch {
		case c.List:
			return c.list(ctx, a, node)
		case c.Withdraw != "":
			_, err := node.Withdraw(ctx, &pb.WithdrawRequest{Id: c.Withdraw})
			return err
		}
		reply, err := node.Invite(ctx, &pb.InviteRequest{TtlMs: c.Expires.Milliseconds(), Uses: c.Uses, Petname: c.For})
		if err != nil {
			return err
		}
		one := invitationOf(reply.GetInvitation())
		if c.JSON {
			one.Token, one.Addrs = reply.GetToken(), reply.GetAddrs()
			return printJSON(a.out, one)
		}
		fmt.Fprintln(a.out, reply.GetToken())
		fmt.Fprintf(a.errs, "peer: hint: it lets %s in until %s, whoever has it; they type: peer join LINE\n",
			guests(one.Uses), one.Expires.Local().Format(time.DateTime))
		fmt.Fprintf(a.errs, "peer: hint: they come to %s; this node must run then, and be reachable there\n", strings.Join(reply.GetAddrs(), ", "))
		return nil
	})
}

func guests(n uint32) string {
	if n == 1 {
		return "one guest"
	}
	return fmt.Sprintf("%d guests", n)
}

func (c *inviteCmd) list(ctx context.Context, a *app, node *control.Client) error {
	reply, err := node.ListInvitations(ctx, &pb.ListInvitationsRequest{})
	if err != nil {
		return err
	}
	list := []invitationJSON{}
	for _, i := range reply.GetInvitations() {
		list = append(list, invitationOf(i))
	}
	if c.JSON {
		return printJSON(a.out, list)
	}
	return table(a.out, func(line func(string, ...any)) {
		for _, i := range list {
			state := "until " + i.Expires.Local().Format(time.DateTime)
			if time.Now().After(i.Expires) {
				state = "ended"
			}
			line("%s\t%s\t%d of %d\t%s\t%s", i.ID, state, len(i.Guests), i.Uses, i.For, strings.Join(i.Guests, " "))
		}
	})
}
