package cmd

import (
	"context"
	"fmt"
	"time"

	"peer/node/control/pb"
	"peer/node/invite"
	"peer/wire"
)

func (b *backend) Invite(ctx context.Context, r *pb.InviteRequest) (*pb.InviteReply, error) {
	bad := func(format string, args ...any) error {
		return refusal(wire.FailureCode_FAILURE_BAD_REQUEST, fmt.Sprintf(format, args...), "nothing was changed; see: peer invite --help")
	}
	ttl, uses := time.Duration(r.GetTtlMs())*time.Millisecond, int(r.GetUses())
	if ttl < invite.TTLMin || ttl > invite.TTLMax {
		return nil, bad("an invitation is good for %s to %s, not for %s", invite.TTLMin, invite.TTLMax, ttl)
	}
	if uses < 1 || uses > invite.UsesMax {
		return nil, bad("an invitation is good for 1 to %d guests, not for %d", invite.UsesMax, uses)
	}
	if r.GetPetname() != "" {
		if uses != 1 {
			return nil, bad("%d guests can't all be called %s", uses, r.GetPetname())
		}
		if err := checkAlias(r.GetPetname()); err != nil {
			return nil, bad("%v", err)
		}
		taken, err := b.cfg.Home.Aliases()
		if err != nil {
			return nil, err
		}
		if had := taken[r.GetPetname()]; had != "" {
			return nil, bad("%s already stands for %s", r.GetPetname(), had)
		}
	}
	// The door outlives the call.
	token, err := b.parts.door.invite(context.WithoutCancel(ctx), ttl, uses, r.GetPetname())
	if err != nil {
		return nil, err
	}
	return &pb.InviteReply{
		Token: token.String(), Addrs: token.Addrs,
		Invitation: &pb.Invitation{Id: token.ID(), ExpiresUnixMs: token.Expires.UnixMilli(), Uses: r.GetUses(), Petname: r.GetPetname()},
	}, nil
}

func (b *backend) ListInvitations(context.Context, *pb.ListInvitationsRequest) (*pb.ListInvitationsReply, error) {
	all, err := b.parts.door.keeper.List()
	if err != nil {
		return nil, err
	}
	reply := &pb.ListInvitationsReply{}
	for _, i := range all {
		one := &pb.Invitation{Id: i.ID, ExpiresUnixMs: i.Expires.UnixMilli(), Uses: uint32(i.Uses), Petname: i.Petname}
		for _, guest := range i.Guests {
			one.Guests = append(one.Guests, guest.String())
		}
		reply.Invitations = append(reply.Invitations, one)
	}
	return reply, nil
}

func (b *backend) Withdraw(ctx context.Context, r *pb.WithdrawRequest) (*pb.WithdrawReply, error) {
	found, err := b.parts.door.keeper.Withdraw(r.GetId())
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, refusal(wire.FailureCode_FAILURE_NOT_FOUND, fmt.Sprintf("no invitation, or more than one, begins with %.80q", r.GetId()), "see all: peer invite --list")
	}
	return &pb.WithdrawReply{}, b.parts.door.look(context.WithoutCancel(ctx))
}
