"""Addresses of the pages about people and settings."""

from __future__ import annotations

from django.urls import path

from console.views import invitations, overview, people, profile, settings, teams, welcome

urlpatterns = [
    path("", overview.index, name="overview"),
    path("overview/steps/", overview.hide_steps, name="overview-steps"),
    path("welcome/", welcome.how, name="welcome-how"),
    path("welcome/password/", welcome.password_verdict, name="password-verdict"),
    path("welcome/<str:code>/", welcome.claim, name="welcome"),
    path("invitations/<str:token>/", invitations.accept, name="invitation-accept"),
    path("people/", people.index, name="person-list"),
    path("people/invite/", invitations.create, name="invitation-create"),
    path("people/invitations/<int:pk>/resend/", invitations.resend, name="invitation-resend"),
    path("people/invitations/<int:pk>/withdraw/", invitations.withdraw, name="invitation-withdraw"),
    path("people/<int:pk>/", people.detail, name="person-detail"),
    path("people/<int:pk>/role/", people.change_role, name="person-role"),
    path("people/<int:pk>/deactivate/", people.deactivate, name="person-deactivate"),
    path("people/<int:pk>/activate/", people.activate, name="person-activate"),
    path("people/<int:pk>/sessions/", people.end_sessions, name="person-sessions"),
    path("people/<int:pk>/reset/", people.reset_link, name="person-reset"),
    path("teams/", teams.index, name="team-list"),
    path("new-team/", teams.create, name="team-create"),
    path("teams/<slug:slug>/", teams.detail, name="team-detail"),
    path("teams/<slug:slug>/settings/", teams.update, name="team-update"),
    path("teams/<slug:slug>/members/", teams.add_member, name="member-add"),
    path("teams/<slug:slug>/members/<int:pk>/lead/", teams.set_lead, name="member-lead"),
    path("teams/<slug:slug>/members/<int:pk>/remove/", teams.remove_member, name="member-remove"),
    path("teams/<slug:slug>/archive/", teams.archive, name="team-archive"),
    path("teams/<slug:slug>/restore/", teams.restore, name="team-restore"),
    path("profile/", profile.index, name="profile"),
    path("profile/password/", profile.change_password, name="profile-password"),
    path("profile/sessions/<int:pk>/end/", profile.end_session, name="session-end"),
    path("profile/sessions/end/", profile.end_others, name="sessions-end"),
    path("profile/<slug:section>/", profile.save, name="profile-save"),
    path("settings/", settings.index, name="settings"),
    path("settings/general/", settings.general, name="settings-general"),
    path("settings/sign-in/", settings.sign_in, name="settings-sign-in"),
    path("settings/about/", settings.about, name="settings-about"),
]
